//! Prefixes of paths that are trimmed before routing.

/// The prefixes to trim: the stage, and the path of the public url.
#[derive(Clone, Debug, Default)]
pub struct Prefixes(Vec<String>);

impl Prefixes {
    /// Of a stage such as `prod`, and a public url such as `https://records.example/records`.
    pub fn new(stage: &str, public_url: &str) -> Self {
        let behind_host = public_url
            .split_once("://")
            .and_then(|(_, rest)| rest.split_once('/'))
            .map_or("", |(_, path)| path);
        let trimmed = [stage, behind_host].map(|path| path.trim_matches('/'));
        let mut prefixes: Vec<_> = trimmed
            .into_iter()
            .filter(|path| !path.is_empty())
            .map(|path| format!("/{path}"))
            .collect();
        prefixes.dedup();
        Self(prefixes)
    }

    /// A path without each prefix that it has, itself first.
    pub fn trimmed<'a>(&self, path: &'a str) -> impl Iterator<Item = &'a str> {
        let without = |prefix: &String| {
            let rest = path.strip_prefix(prefix.as_str());
            rest.filter(|rest| rest.starts_with('/'))
        };
        let rests: Vec<_> = self.0.iter().filter_map(without).collect();
        std::iter::once(path).chain(rests)
    }

    /// A path below the root, and below each prefix.
    pub fn before(&self, path: &str) -> Vec<String> {
        // Braces would be read as the name of a part.
        let plain = self.0.iter().filter(|prefix| !prefix.contains(['{', '}']));
        let prefixed = plain.map(|prefix| format!("{prefix}{path}"));
        std::iter::once(path.to_owned()).chain(prefixed).collect()
    }
}
