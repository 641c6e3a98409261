//! `docs/configuration.md`, written from the table.

use super::SETTINGS;
use std::fmt::Write;

const HEAD: &str = "\
# Configuration

<!-- Written from the table in crates/hopscope-server/src/config/settings.rs; a test compares them. Rewrite with
UPDATE_EXPECT=1 cargo test -p hopscope-server -->

A value comes from the first of: flag, environment, file (`--config FILE`, TOML), default. `hopscope config` prints the
effective value of each and where it came from. An unknown name is an error. Byte sizes may be written `16MiB`,
durations `10s`; in flags and variables lists are separated by commas, pairs written `name=value`,
sources and rules `key=value key=value`, with `;` between two of them; in the file each is a table, `[[receive_kafka]]`.

| Setting | Default | Environment | Command line | |
|---|---|---|---|---|
";

/// The page.
pub fn reference() -> String {
    SETTINGS.iter().fold(HEAD.to_owned(), |mut page, setting| {
        let (name, default, variable) = (setting.name, setting.default(), setting.variable());
        let (flag, doc) = (setting.on_command_line(), setting.doc);
        writeln!(page, "| `{name}` | `{default}` | `{variable}` | `{flag}` | {doc} |")
            .expect("writing to a string never fails");
        page
    })
}
