//! The output of a render: bounded while it is written, compacted when it is whole.

use std::io;

/// Writes so many bytes and no more.
pub(super) struct Bounded<'a> {
    pub(super) left: usize,
    pub(super) out: &'a mut Vec<u8>,
}

impl io::Write for Bounded<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.left = self.left.checked_sub(bytes.len()).ok_or(io::ErrorKind::FileTooLarge)?;
        self.out.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Takes JSON's white space out from `start` on, but what stands inside strings: a payload is one line, as NDJSON and people with a terminal want it.
pub(super) fn compact(out: &mut Vec<u8>, start: usize) {
    let (mut inside, mut escaped, mut to) = (false, false, start);
    for from in start..out.len() {
        let byte = out[from];
        if inside {
            inside = escaped || byte != b'"';
            escaped = !escaped && byte == b'\\';
        } else if matches!(byte, b' ' | b'\n' | b'\r' | b'\t') {
            // two tokens that only white space parts are no JSON: keep one, so that the check says so
            let parts = to > start && is_word(out[to - 1]) && out.get(from + 1).is_some_and(|next| is_word(*next));
            if !parts {
                continue;
            }
        } else {
            inside = byte == b'"';
        }
        out[to] = byte;
        to += 1;
    }
    out.truncate(to);
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'+')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compacted(text: &str) -> String {
        let mut out = format!("before{text}").into_bytes();
        compact(&mut out, "before".len());
        String::from_utf8(out).expect("text").split_off("before".len())
    }

    #[test]
    fn white_space_goes_but_inside_strings() {
        assert_eq!(compacted("\n{ \"a b\" : [ 1 ,\n 2 ] , \"c\\\" \" : \" d \" }\n"), "{\"a b\":[1,2],\"c\\\" \":\" d \"}");
        assert_eq!(compacted(" \n "), "");
    }

    #[test]
    fn numbers_that_only_a_space_parts_do_not_become_one() {
        assert_eq!(compacted("[1 2]"), "[1 2]");
        assert_eq!(compacted("[1  2]"), "[1 2]");
    }
}
