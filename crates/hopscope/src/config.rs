//! `hopscope config`, and how flags, environment and file become one configuration.

use crate::args::{ConfigArgs, ServeArgs};
use crate::draw;
use crate::exit::{Exit, Failure};
use crate::output;
pub use hopscope_server::config::MEMORY;
use hopscope_server::config::{self, Loaded, Origin};
use serde_json::json;

pub fn run(args: &ConfigArgs) -> anyhow::Result<Exit> {
    let loaded = load(&args.serve)?;
    if args.json {
        let rows = loaded.effective.iter().map(
            |setting| json!({ "name": setting.name, "value": setting.value, "from": origin(setting.origin) }),
        );
        output::json(&rows.collect::<Vec<_>>())?;
    } else {
        let rows: Vec<[String; 3]> = loaded
            .effective
            .iter()
            .map(|setting| {
                [setting.name.to_owned(), setting.value.clone(), origin(setting.origin).to_owned()]
            })
            .collect();
        output::print(&draw::settings(&rows));
    }
    Ok(Exit::Done)
}

/// The configuration that these arguments make, its warnings printed.
pub fn load(args: &ServeArgs) -> anyhow::Result<Loaded> {
    let mut flags = Vec::new();
    let mut flag =
        |name: &str, value: Option<String>| flags.extend(value.map(|value| (name.to_owned(), value)));
    flag("data", args.data.as_ref().map(|data| data.display().to_string()));
    flag("listen", args.listen.clone());
    flag("otlp_grpc", args.otlp_grpc.clone());
    flag("otlp_http", args.otlp_http.clone());
    flag("insecure", args.insecure.then(|| "true".to_owned()));
    for pair in &args.set {
        let Some((name, value)) = pair.split_once('=') else {
            return Err(Failure::new(Exit::Usage, format!("not a setting: {pair}"))
                .hint("write it as --set name=value; `hopscope config` lists the names")
                .into());
        };
        flags.push((name.trim().to_owned(), value.trim().to_owned()));
    }
    // Variables that are not Unicode cannot be ours.
    let environment = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    let loaded = config::load(args.config.as_deref(), environment, &flags).map_err(crate::serve::failure)?;
    for warning in &loaded.warnings {
        eprintln!("warning: {warning}");
    }
    Ok(loaded)
}

fn origin(origin: Origin) -> &'static str {
    match origin {
        Origin::Default => "default",
        Origin::File => "file",
        Origin::Environment => "environment",
        Origin::Flag => "flag",
    }
}
