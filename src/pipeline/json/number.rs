//! Numbers of a document: integers exact, floats rounded right, all of them by RFC 8259.

use super::parse::{JsonError, JsonFault, Parser};
use super::tape::Kind;

impl Parser<'_> {
    #[inline(always)]
    fn digits(&mut self, mantissa: &mut u64) -> usize {
        let start = self.at;
        while self.peek().is_ascii_digit() {
            *mantissa = mantissa.wrapping_mul(10).wrapping_add(u64::from(self.peek() - b'0'));
            self.at += 1;
        }
        self.at - start
    }

    #[inline(always)]
    pub(super) fn number(&mut self) -> Result<(), JsonError> {
        let start = self.at;
        let negative = self.peek() == b'-';
        self.at += usize::from(negative);
        let leading_zero = self.peek() == b'0';
        let mut mantissa = 0u64;
        let whole = self.digits(&mut mantissa);
        if whole == 0 || (whole > 1 && leading_zero) {
            return self.fail(JsonFault::Syntax);
        }
        let mut fraction = 0;
        if self.peek() == b'.' {
            self.at += 1;
            fraction = self.digits(&mut mantissa);
            if fraction == 0 {
                return self.fail(JsonFault::Syntax);
            }
        }
        if matches!(self.peek(), b'e' | b'E') {
            return self.with_exponent(start);
        }
        if fraction == 0 {
            // 18 digits always fit; -0 is a float.
            if whole <= 18 && !(negative && mantissa == 0) {
                let value = if negative { -(mantissa as i64) } else { mantissa as i64 };
                self.push(Kind::Int, start, value as u64);
                return Ok(());
            }
            return self.long_integer(start);
        }
        // 15 digits and a power of ten up to 22 are exact in a float, so one division rounds right.
        if whole + fraction <= 15 {
            let value = mantissa as f64 / POWERS_OF_TEN[fraction];
            self.push(Kind::Float, start, (if negative { -value } else { value }).to_bits());
            return Ok(());
        }
        self.float(start)
    }

    #[cold]
    fn long_integer(&mut self, start: usize) -> Result<(), JsonError> {
        let text = &self.source[start..self.at];
        if text == "-0" {
            return self.float(start);
        }
        if let Ok(value) = text.parse::<i64>() {
            self.push(Kind::Int, start, value as u64);
        } else if let Ok(value) = text.parse::<u64>() {
            self.push(Kind::UInt, start, value);
        } else if text.trim_start_matches('-').len() <= 38 {
            self.push(Kind::Big, start, 0); // 38 digits always fit an i128
        } else {
            return self.float(start);
        }
        Ok(())
    }

    #[cold]
    fn with_exponent(&mut self, start: usize) -> Result<(), JsonError> {
        self.at += 1;
        if matches!(self.peek(), b'+' | b'-') {
            self.at += 1;
        }
        let mut ignored = 0;
        if self.digits(&mut ignored) == 0 {
            return self.fail(JsonFault::Syntax);
        }
        self.float(start)
    }

    fn float(&mut self, start: usize) -> Result<(), JsonError> {
        match self.source[start..self.at].parse::<f64>() {
            Ok(value) if value.is_finite() => {
                self.push(Kind::Float, start, value.to_bits());
                Ok(())
            }
            _ => Err(JsonError { fault: JsonFault::NumberRange, offset: start }),
        }
    }
}

const POWERS_OF_TEN: [f64; 16] = [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15];
