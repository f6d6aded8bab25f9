//! Directory names for stream names: injective, reversible, and safe on any file system.
//!
//! Lower-case letters, digits, `-` and `_` stand for themselves. An upper-case letter becomes `+` and its lower-case form,
//! because some file systems don't tell the two apart; every other byte becomes `~` and two hexadecimal digits, dots
//! included, so that `.`, `..` and trailing dots can't occur. Each name starts with `s-`, so no device name of Windows
//! (`con`, `nul`, …) and none of the spool's own files can be meant. What is too long for one directory name goes on in a
//! directory inside, and the outer name ends in `+`.

use std::path::PathBuf;

const PREFIX: &str = "s-";
/// Most characters of a directory name: 255 bytes is the limit of common file systems.
const MAX_COMPONENT: usize = 200;
const CONTINUES: char = '+';

/// The directory of a stream, relative to the spool's.
pub(crate) fn encode(stream: &str) -> PathBuf {
    let mut path = PathBuf::new();
    let mut component = String::from(PREFIX);
    for byte in stream.bytes() {
        let escaped = escape(byte);
        if component.len() + escaped.len() >= MAX_COMPONENT {
            component.push(CONTINUES);
            path.push(std::mem::replace(&mut component, String::from(PREFIX)));
        }
        component.push_str(&escaped);
    }
    path.push(component);
    path
}

fn escape(byte: u8) -> String {
    match byte {
        b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' => char::from(byte).to_string(),
        b'A'..=b'Z' => format!("+{}", char::from(byte.to_ascii_lowercase())),
        other => format!("~{other:02x}"),
    }
}

/// One directory name, understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Component {
    /// The name, or the last piece of it.
    Last(Vec<u8>),
    /// A piece of a name that goes on in a directory inside.
    Continued(Vec<u8>),
}

/// What a directory name stands for; `None` if this module never makes it.
pub(crate) fn decode(name: &str) -> Option<Component> {
    let body = name.strip_prefix(PREFIX)?;
    let (body, continues) = match body.strip_suffix(CONTINUES) {
        Some(body) => (body, true),
        None => (body, false),
    };
    let mut bytes = Vec::with_capacity(body.len());
    let mut rest = body.bytes();
    while let Some(byte) = rest.next() {
        let decoded = match byte {
            b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' => byte,
            b'+' => rest.next().filter(u8::is_ascii_lowercase)?.to_ascii_uppercase(),
            b'~' => hex(rest.next()?)? << 4 | hex(rest.next()?)?,
            _ => return None,
        };
        bytes.push(decoded);
    }
    // Only what encoding makes is a name of ours: `~61` would be a second name for `a`.
    let canonical: String = bytes.iter().map(|byte| escape(*byte)).collect();
    if canonical != body {
        return None;
    }
    Some(if continues {
        Component::Continued(bytes)
    } else {
        Component::Last(bytes)
    })
}

fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decode_path(path: &std::path::Path) -> String {
        let mut bytes = Vec::new();
        for component in path {
            match decode(component.to_str().unwrap()).unwrap() {
                Component::Last(piece) | Component::Continued(piece) => bytes.extend(piece),
            }
        }
        String::from_utf8(bytes).unwrap()
    }

    proptest! {
        #[test]
        fn every_name_is_read_back_from_its_directory(name in "\\PC{0,300}") {
            let path = encode(&name);
            prop_assert_eq!(decode_path(&path), name);
            for component in &path {
                let component = component.to_str().unwrap();
                prop_assert!(component.len() <= 255);
                prop_assert!(!component.chars().any(|c| c.is_ascii_uppercase() || c == '.' || c == '/' || c == '\\'));
            }
        }

        #[test]
        fn names_that_differ_have_directories_that_differ_in_any_case(a in "[a-cA-C.~+_-]{0,6}", b in "[a-cA-C.~+_-]{0,6}") {
            let fold = |name: &str| encode(name).to_str().unwrap().to_ascii_lowercase();
            prop_assert_eq!(a == b, fold(&a) == fold(&b));
        }

        #[test]
        fn a_directory_name_stands_for_one_name_at_most(name in "s-[a-c0-9~+_-]{0,8}") {
            if let Some(Component::Last(bytes)) = decode(&name) {
                let text = String::from_utf8(bytes);
                if let Ok(text) = text {
                    let path = encode(&text);
                    prop_assert_eq!(path.to_str(), Some(name.as_str()));
                }
            }
        }
    }

    #[test]
    fn dots_and_device_names_are_harmless() {
        assert_eq!(encode("."), PathBuf::from("s-~2e"));
        assert_eq!(encode(".."), PathBuf::from("s-~2e~2e"));
        assert_eq!(encode("con"), PathBuf::from("s-con"));
        assert_eq!(encode("Front-Door"), PathBuf::from("s-+front-+door"));
        for foreign in ["lock", "s-A", "s-~61", "s-~zz", "s-+"] {
            assert!(!matches!(decode(foreign), Some(Component::Last(_))), "{foreign}");
        }
    }
}
