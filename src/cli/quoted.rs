//! Paths in lines to be pasted into a shell.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// A path as one word of a POSIX shell, in one line of text: what a shell or a terminal would take for something else is
/// quoted, and what is no text is spelled out for `printf` in octal.
pub(super) fn quoted(path: &Path) -> String {
    let text = path.to_str();
    let text = text.filter(|text| !text.chars().any(char::is_control));
    match text.and_then(|text| shlex::try_quote(text).ok()) {
        Some(text) => text.into_owned(),
        None => printed(path.as_os_str().as_bytes()),
    }
}

fn printed(bytes: &[u8]) -> String {
    let mut text = "\"$(printf '".to_owned();
    for byte in bytes {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'/' | b'.' | b'-' | b'_' => {
                text.push(char::from(*byte));
            }
            byte => text.push_str(&format!("\\{byte:03o}")),
        }
    }
    text + "')\""
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::process::Command;

    use super::*;

    #[test]
    fn a_shell_reads_a_path_as_it_is() {
        for bytes in [
            &b"/var/lib/metarecord"[..],
            b"with space",
            b"it's",
            b"\"$HOME\"`id`$(id)!*?[a]~;&|<>#\\",
            "gr\u{fc}n \u{2192}".as_bytes(),
            b"two\nlines\tand \x1b[31m",
            b"\xff\xfe no text '%d' \\n",
            b"-rf",
            b"~root",
            b"",
        ] {
            let word = quoted(Path::new(OsStr::from_bytes(bytes)));
            assert!(!word.contains(char::is_control), "{word:?}");
            let line = format!("printf '%s' {word}");
            let output = Command::new("/bin/sh")
                .args(["-c", &line])
                .output()
                .unwrap();
            assert_eq!(output.stdout, bytes, "{word}");
        }
    }
}
