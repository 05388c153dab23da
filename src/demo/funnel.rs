//! What a product owner wants to see: how many users reach each step of the journey, by variant, and where they drop off.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::path::Path;

use rusqlite::{Connection, OpenFlags};

/// Users by step (in the journey's order) and variant.
#[derive(Debug, PartialEq, Eq)]
pub struct Funnel {
    steps: Vec<Step>,
}

#[derive(Debug, PartialEq, Eq)]
struct Step {
    name: String,
    /// Distinct users of variant A and B.
    users: [u64; 2],
}

impl Step {
    fn total(&self) -> u64 {
        self.users.iter().sum()
    }
}

impl Funnel {
    /// Reads the warehouse's `events` table; `steps` are event names in the journey's order.
    pub fn read(database: &Path, steps: &[&str]) -> rusqlite::Result<Funnel> {
        let connection = Connection::open_with_flags(database, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        let mut query = connection
            .prepare("SELECT event, upper(variant), count(DISTINCT user_id) FROM events WHERE variant IS NOT NULL GROUP BY 1, 2")?;
        let mut counts: HashMap<(String, String), u64> = HashMap::new();
        let mut rows = query.query([])?;
        while let Some(row) = rows.next()? {
            counts.insert((row.get(0)?, row.get(1)?), row.get::<_, i64>(2)?.unsigned_abs());
        }
        let of = |step: &str, variant: &str| counts.get(&(step.to_owned(), variant.to_owned())).copied().unwrap_or(0);
        let steps = steps.iter().map(|step| Step { name: (*step).to_owned(), users: [of(step, "A"), of(step, "B")] }).collect();
        Ok(Funnel { steps })
    }

    /// One line a step: users, a bar, what was lost since the step before, and each variant's share of those who began.
    pub fn render(&self, width: usize) -> String {
        let name_width = self.steps.iter().map(|step| step.name.len()).max().unwrap_or(0);
        let first = self.steps.first();
        let mut out =
            format!("  {:name_width$}  {:>7}  {:width$}  {:>8}  {:>9}  {:>9}\n", "step", "users", "", "drop-off", "variant A", "variant B");
        let mut before: Option<u64> = None;
        for step in &self.steps {
            let lost = match before {
                Some(before) if before > 0 => format!("{:.1} %", 100.0 * (1.0 - step.total() as f64 / before as f64)),
                _ => String::new(),
            };
            let share = |variant: usize| match first.map(|first| first.users[variant]) {
                Some(began) if began > 0 => format!("{:.1} %", 100.0 * step.users[variant] as f64 / began as f64),
                _ => "-".to_owned(),
            };
            let bar = bar(step.total(), first.map_or(0, Step::total), width);
            // writing to a String cannot fail
            let _ = writeln!(
                out,
                "  {:name_width$}  {:>7}  {bar:width$}  {lost:>8}  {:>9}  {:>9}",
                step.name,
                thousands(step.total()),
                share(0),
                share(1)
            );
            before = Some(step.total());
        }
        out
    }
}

/// `part` of `whole` as a bar of at most `width` cells, in eighths of a cell.
pub fn bar(part: u64, whole: u64, width: usize) -> String {
    const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    if whole == 0 {
        return String::new();
    }
    let eighths = (part.min(whole) as f64 / whole as f64 * (width * 8) as f64).round() as usize;
    format!("{}{}", "█".repeat(eighths / 8), EIGHTHS[eighths % 8])
}

/// 1234567 → `1,234,567`.
pub fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_grow_by_eighths() {
        assert_eq!(bar(0, 8, 1), "");
        assert_eq!(bar(1, 8, 1), "▏");
        assert_eq!(bar(8, 8, 2), "██");
        assert_eq!(bar(12, 8, 1), "█");
        assert_eq!(bar(1, 0, 4), "");
    }

    #[test]
    fn numbers_are_grouped() {
        assert_eq!(thousands(0), "0");
        assert_eq!(thousands(999), "999");
        assert_eq!(thousands(1000), "1,000");
        assert_eq!(thousands(1_234_567), "1,234,567");
    }

    #[test]
    fn drop_off_is_counted_from_the_step_before_and_shares_from_the_first() {
        let step = |name: &str, a, b| Step { name: name.into(), users: [a, b] };
        let text = Funnel { steps: vec![step("started", 100, 100), step("finished", 25, 50)] }.render(10);
        let last = text.lines().last().unwrap_or_default();
        assert!(last.contains("75") && last.contains("62.5 %") && last.contains("25.0 %") && last.contains("50.0 %"), "{text}");
    }
}
