//! Tape → JSON text: compact, numbers with the digits they came with.

use super::tape::{Cursor, Kind};

/// Appends the value as JSON on one line.
pub(in crate::pipeline) fn write_value(value: Cursor<'_>, out: &mut Vec<u8>) {
    match value.kind() {
        Kind::Null => out.extend_from_slice(b"null"),
        Kind::True => out.extend_from_slice(b"true"),
        Kind::False => out.extend_from_slice(b"false"),
        Kind::Int | Kind::UInt | Kind::Big | Kind::Float => out.extend_from_slice(value.number_text().unwrap_or("null").as_bytes()),
        // Without escapes in the source it needs none here.
        Kind::Plain => {
            out.push(b'"');
            out.extend_from_slice(value.as_str().unwrap_or_default().as_bytes());
            out.push(b'"');
        }
        Kind::Escaped => write_string(value.as_str().unwrap_or_default(), out),
        Kind::Object => {
            out.push(b'{');
            for (position, (key, member)) in value.members().enumerate() {
                if position > 0 {
                    out.push(b',');
                }
                write_string(key, out);
                out.push(b':');
                write_value(member, out);
            }
            out.push(b'}');
        }
        Kind::Array => {
            out.push(b'[');
            for (position, element) in value.elements().enumerate() {
                if position > 0 {
                    out.push(b',');
                }
                write_value(element, out);
            }
            out.push(b']');
        }
    }
}

/// Appends a JSON string, quotes included.
pub(in crate::pipeline) fn write_string(text: &str, out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    out.push(b'"');
    let mut from = 0;
    for (at, byte) in text.bytes().enumerate() {
        let short = match byte {
            b'"' => b'"',
            b'\\' => b'\\',
            b'\n' => b'n',
            b'\r' => b'r',
            b'\t' => b't',
            0x08 => b'b',
            0x0c => b'f',
            0x00..0x20 => 0,
            _ => continue,
        };
        out.extend_from_slice(&text.as_bytes()[from..at]);
        out.push(b'\\');
        if short == 0 {
            out.extend_from_slice(b"u00");
            out.push(HEX[usize::from(byte >> 4)]);
            out.push(HEX[usize::from(byte & 15)]);
        } else {
            out.push(short);
        }
        from = at + 1;
    }
    out.extend_from_slice(&text.as_bytes()[from..]);
    out.push(b'"');
}
