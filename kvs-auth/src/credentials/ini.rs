//! The file format of AWS profiles (AWS SDKs and tools reference guide, "Shared config and credentials
//! files").

use std::collections::HashMap;

/// The sections of a file, by name, each with its keys in lower case.
pub(super) type Sections = HashMap<String, HashMap<String, String>>;

/// A line that belongs nowhere.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Malformed {
    pub(super) line: usize,
}

/// Parses a file. A section that comes twice is merged, the later value winning. Indented lines belong to a
/// nested setting and are passed over. Errors carry the line number only: the line may hold a secret.
pub(super) fn parse(text: &str) -> Result<Sections, Malformed> {
    let mut sections = Sections::new();
    let mut current: Option<String> = None;
    for (index, line) in text.lines().enumerate() {
        let malformed = Malformed { line: index + 1 };
        let content = line.trim();
        if content.is_empty() || content.starts_with(['#', ';']) {
            continue;
        }
        if line.starts_with([' ', '\t']) && current.is_some() {
            continue;
        }
        if let Some(rest) = content.strip_prefix('[') {
            let (name, _) = rest.split_once(']').ok_or(malformed)?;
            let name = name.split_whitespace().collect::<Vec<_>>().join(" ");
            sections.entry(name.clone()).or_default();
            current = Some(name);
            continue;
        }
        let section = current.as_ref().and_then(|name| sections.get_mut(name));
        let (Some(section), Some((key, value))) = (section, content.split_once('=')) else {
            return Err(malformed);
        };
        section.insert(
            key.trim().to_ascii_lowercase(),
            without_comment(value).trim().to_owned(),
        );
    }
    Ok(sections)
}

/// A comment inside a line starts with a blank.
fn without_comment(value: &str) -> &str {
    let cut = [" #", " ;", "\t#", "\t;"]
        .into_iter()
        .filter_map(|mark| value.find(mark))
        .min();
    &value[..cut.unwrap_or(value.len())]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_keys_and_comments_are_told_apart() {
        let text = "# comment\n[default]\nAWS_Access_Key_Id = a=b#c # comment\n; comment\n\
                    s3 =\n  nested = x\n[profile  two]\r\nregion=eu-west-1\r\n";

        let sections = parse(text).expect("parses");

        assert_eq!(sections["default"]["aws_access_key_id"], "a=b#c");
        assert!(!sections["default"].contains_key("nested"));
        assert_eq!(sections["profile two"]["region"], "eu-west-1");
    }

    #[test]
    fn a_stray_line_is_named_by_its_number() {
        for (text, line) in [
            ("key = value", 1),
            ("[a]\n\nnot a setting", 3),
            ("[a]\nk=v\n[broken", 3),
        ] {
            assert_eq!(parse(text), Err(Malformed { line }), "{text}");
        }
    }
}
