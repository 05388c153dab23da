//! Quantities as people write them: sizes (`1MiB`), durations (`200ms`, `never`), rates (`200/s`).

use std::str::FromStr;
use std::time::Duration;

use super::section::cut;

/// What is wrong with a quantity, and how to write one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum UnitError {
    #[error("`{0}` is not a size: write a number with B, KiB, MiB, GiB, kB, MB or GB, such as 1MiB")]
    Size(String),
    #[error("`{0}` is not a duration: write a number with ms, s, m, h or d, such as 200ms")]
    Duration(String),
    #[error("`{0}` is not a duration: write a number with ms, s, m, h or d, such as 200ms, or never")]
    Limit(String),
    #[error("`{0}` is not a rate: write a number above 0 with /s, /m or /h, such as 200/s")]
    Rate(String),
}

/// A length of time as config files write it, such as `90s`, for flags. Err says how to write one.
pub fn duration(text: &str) -> Result<Duration, String> {
    text.parse().map(|Span(duration)| duration).map_err(|error: UnitError| error.to_string())
}

/// Bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Size(pub usize);

impl FromStr for Size {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Size, UnitError> {
        let wrong = || UnitError::Size(cut(text));
        let (number, unit) = split(text).ok_or_else(wrong)?;
        let factor: u64 = match unit.to_ascii_lowercase().as_str() {
            "b" => 1,
            "kib" => 1 << 10,
            "mib" => 1 << 20,
            "gib" => 1 << 30,
            "kb" => 1_000,
            "mb" => 1_000_000,
            "gb" => 1_000_000_000,
            _ => return Err(wrong()),
        };
        scaled(number, factor).and_then(|bytes| usize::try_from(bytes).ok()).map(Size).ok_or_else(wrong)
    }
}

/// A length of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span(pub Duration);

impl FromStr for Span {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Span, UnitError> {
        let wrong = || UnitError::Duration(cut(text));
        let (number, unit) = split(text).ok_or_else(wrong)?;
        let milliseconds: u64 = match unit {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return Err(wrong()),
        };
        // A hundred years: what is longer was not meant, and would overflow somebody's clock.
        let longest = 100 * 366 * 86_400_000;
        scaled(number, milliseconds).filter(|ms| *ms <= longest).map(|ms| Span(Duration::from_millis(ms))).ok_or_else(wrong)
    }
}

/// A length of time, or `never`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Limit(pub Option<Duration>);

impl FromStr for Limit {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Limit, UnitError> {
        match text {
            "never" => Ok(Limit(None)),
            _ => text.parse().map(|Span(time)| Limit(Some(time))).map_err(|_| UnitError::Limit(cut(text))),
        }
    }
}

/// Per second; above 0.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Rate(pub f64);

impl FromStr for Rate {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Rate, UnitError> {
        let wrong = || UnitError::Rate(cut(text));
        let (number, unit) = text.split_once('/').ok_or_else(wrong)?;
        let seconds = match unit.trim() {
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return Err(wrong()),
        };
        let number = number.trim();
        match number.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
            true => number.parse::<f64>().ok().filter(|n| *n > 0.0 && n.is_finite()).map(|n| Rate(n / seconds)).ok_or_else(wrong),
            false => Err(wrong()),
        }
    }
}

/// A number and the unit behind it.
fn split(text: &str) -> Option<(&str, &str)> {
    let text = text.trim();
    let at = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let (number, unit) = text.split_at(at);
    (!number.is_empty()).then_some((number, unit.trim_start()))
}

/// `number` (perhaps with a fraction) times `factor`, rounded; None past 64 bits.
fn scaled(number: &str, factor: u64) -> Option<u64> {
    if let Ok(whole) = number.parse::<u64>() {
        return whole.checked_mul(factor);
    }
    let product = number.parse::<f64>().ok()? * factor as f64;
    // Below 2^53 a float is exact to the unit.
    (product < 9e15).then(|| product.round() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_bytes() {
        for (text, bytes) in [("1MiB", 1 << 20), ("512KiB", 512 << 10), ("1MB", 1_000_000), ("100B", 100), ("1.5 kib", 1536), ("0B", 0)] {
            assert_eq!(text.parse(), Ok(Size(bytes)), "{text}");
        }
        for text in ["1", "MiB", "-1B", "1TiB", "1e3B", "", "1.2.3kB", "99999999999999999999B", "20000000000GiB"] {
            assert!(text.parse::<Size>().is_err(), "{text}");
        }
    }

    #[test]
    fn durations_carry_a_unit() {
        for (text, ms) in
            [("0ms", 0), ("200ms", 200), ("10s", 10_000), ("5m", 300_000), ("2h", 7_200_000), ("7d", 604_800_000), ("1.5s", 1500)]
        {
            assert_eq!(text.parse(), Ok(Span(Duration::from_millis(ms))), "{text}");
        }
        for text in ["10", "10 sec", "-1s", "never", "", "s", "999999999d"] {
            assert!(text.parse::<Span>().is_err(), "{text}");
        }
        assert_eq!("never".parse(), Ok(Limit(None)));
        assert_eq!("1s".parse(), Ok(Limit(Some(Duration::from_secs(1)))));
    }

    #[test]
    fn rates_are_per_second() {
        for (text, rate) in [("200/s", 200.0), ("30/m", 0.5), ("3600/h", 1.0), ("0.5/s", 0.5)] {
            assert_eq!(text.parse(), Ok(Rate(rate)), "{text}");
        }
        for text in ["200", "0/s", "-1/s", "inf/s", "1/d", "/s", "1e9/s"] {
            assert!(text.parse::<Rate>().is_err(), "{text}");
        }
    }
}
