//! What the audience sees: acts and results on stdout, progress on stderr where that is a terminal.

use std::io::{IsTerminal, Write};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// Prints the acts. Colour only where stdout is a terminal and NO_COLOR is not set.
#[derive(Debug, Clone)]
pub struct Screen {
    colour: bool,
    bar: ProgressBar,
}

impl Screen {
    pub fn new() -> Screen {
        let colour = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        let bar = if std::io::stderr().is_terminal() { ProgressBar::new(0) } else { ProgressBar::hidden() };
        let style = ProgressStyle::with_template("  {spinner} {bar:40} {human_pos}/{human_len} events, {per_sec}  {msg}");
        // the template above is a constant that parses; without a style the bar would only be plainer
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        bar.enable_steady_tick(Duration::from_millis(100));
        Screen { colour, bar }
    }

    pub fn act(&self, number: u8, title: &str) {
        let head = format!("{number}. {title}");
        self.say(&format!("\n{}", if self.colour { format!("\x1b[1;36m{head}\x1b[0m") } else { head }));
    }

    pub fn heading(&self, title: &str) {
        self.say(&format!("\n{}", if self.colour { format!("\x1b[1m{title}\x1b[0m") } else { title.to_owned() }));
    }

    pub fn say(&self, text: &str) {
        self.bar.suspend(|| {
            let mut out = std::io::stdout().lock();
            // a reader that went away (`| head`) is no reason to stop in the middle of an act
            let _ = writeln!(out, "{text}");
        });
    }

    /// How far the feed is, of how much.
    pub fn progress(&self, done: u64, of: u64, message: impl Into<String>) {
        self.bar.set_length(of);
        self.bar.set_position(done);
        self.bar.set_message(message.into());
    }

    pub fn done(&self) {
        self.bar.finish_and_clear();
    }

    pub fn colour(&self) -> bool {
        self.colour
    }
}

impl Default for Screen {
    fn default() -> Screen {
        Screen::new()
    }
}
