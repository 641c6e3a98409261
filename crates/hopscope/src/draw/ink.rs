//! Colour, where the terminal has it and `NO_COLOR` does not forbid it.

use std::io::IsTerminal;

/// Whether to colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ink {
    colour: bool,
}

impl Ink {
    /// By what standard output is and by `NO_COLOR` and `CLICOLOR_FORCE`.
    pub fn of_stdout() -> Self {
        let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty() && value != "0");
        Self { colour: !set("NO_COLOR") && (set("CLICOLOR_FORCE") || std::io::stdout().is_terminal()) }
    }

    /// Green: only for states that were observed or come from the broker.
    pub fn good(self, text: &str) -> String {
        self.code("32", text)
    }

    /// Red: as green.
    pub fn bad(self, text: &str) -> String {
        self.code("31", text)
    }

    /// Yellow: time in a queue.
    pub fn queue(self, text: &str) -> String {
        self.code("33", text)
    }

    /// Grey: what is not known, and what is beside the point.
    pub fn dim(self, text: &str) -> String {
        self.code("2", text)
    }

    /// Bold: names.
    pub fn name(self, text: &str) -> String {
        self.code("1", text)
    }

    fn code(self, code: &str, text: &str) -> String {
        if self.colour { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }
}
