//! The usual ignore patterns, decided by a name alone.
//!
//! Most patterns are a name, its beginning or its end; most others name the directory right above. So in most
//! directories no whole path needs to be made and matched, which would cost as much as looking at the file.

use crate::rules::Decided;

/// What of a name a pattern speaks of.
#[derive(Clone, Debug)]
enum Part {
    Whole(Vec<u8>),
    Start(Vec<u8>),
    End(Vec<u8>),
}

#[derive(Clone, Debug)]
struct NamePattern {
    part: Part,
    is_dir_only: bool,
    leaves_out: bool,
    /// Its place among the lines.
    line: u32,
}

/// Where a pattern that speaks of more than a name can match.
#[derive(Clone, Debug)]
enum Where {
    Everywhere,
    /// In the root itself.
    Top,
    /// In directories of this name.
    Under(Vec<u8>),
    /// In directories of this name and in all below.
    Within(Vec<u8>),
}

/// The patterns of a root, sorted by what they need to be decided.
#[derive(Clone, Debug, Default)]
pub(crate) struct Quick {
    names: Vec<NamePattern>,
    paths: Vec<Where>,
}

fn is_plain(text: &str) -> bool {
    !text.contains(['*', '?', '[', ']', '{', '}', '\\', '!', '/'])
}

impl Quick {
    /// Adds a line, as the matcher of whole paths has it. The last that matches decides.
    pub(crate) fn add(&mut self, line: &str, place_of_line: u32) {
        let body = line.trim_end();
        if body.is_empty() || line.starts_with('#') {
            return;
        }
        if line.ends_with("\\ ") {
            return self.paths.push(Where::Everywhere);
        }
        let (body, leaves_out) = body.strip_prefix('!').map_or((body, true), |body| (body, false));
        let body = body
            .strip_prefix("**/")
            .filter(|rest| !rest.starts_with('/'))
            .unwrap_or(body);
        let (body, is_dir_only) = body.strip_suffix('/').map_or((body, false), |body| (body, true));
        let part = match (body.strip_prefix('*'), body.strip_suffix('*')) {
            _ if body.is_empty() => None,
            _ if is_plain(body) => Some(Part::Whole(body.into())),
            (Some(end), _) if is_plain(end) => Some(Part::End(end.into())),
            (_, Some(start)) if is_plain(start) => Some(Part::Start(start.into())),
            _ => None,
        };
        match part {
            Some(part) => self.names.push(NamePattern {
                part,
                is_dir_only,
                leaves_out,
                line: place_of_line,
            }),
            None => self.paths.push(place(body)),
        }
    }

    pub(crate) fn needs_paths(&self, directory: &[u8]) -> bool {
        self.paths.iter().any(|place| match place {
            Where::Everywhere => true,
            Where::Top => directory.is_empty(),
            Where::Under(name) => directory.rsplit(|byte| *byte == b'/').next() == Some(name),
            Where::Within(name) => directory.split(|byte| *byte == b'/').any(|part| part == name),
        })
    }

    /// Whether a name is left out or kept, or not spoken of.
    pub(crate) fn decide(&self, name: &[u8], is_dir: bool) -> Decided {
        let matches = |pattern: &&NamePattern| {
            (is_dir || !pattern.is_dir_only)
                && match &pattern.part {
                    Part::Whole(whole) => name == whole,
                    Part::Start(start) => name.starts_with(start),
                    Part::End(end) => name.ends_with(end),
                }
        };
        match self.names.iter().rev().find(matches) {
            Some(pattern) if pattern.leaves_out => Decided::LeftOut(pattern.line),
            Some(pattern) => Decided::Kept(pattern.line),
            None => Decided::Nothing,
        }
    }
}

/// Where a pattern can match that is none of a name.
fn place(body: &str) -> Where {
    if let Some(top) = body.strip_prefix('/')
        && !top.contains('/')
        && !top.contains('\\')
        && !top.contains("**")
    {
        return Where::Top;
    }
    if let Some((before, _)) = body.rsplit_once('/')
        && before.contains(['[', '{'])
    {
        // A slash in a class or a choice of words parts no directories, and which it is takes a parser to tell.
        return Where::Everywhere;
    }
    let mut parts = body.rsplit('/');
    let (last, above) = (parts.next(), parts.next());
    match (last, above) {
        (Some("**"), Some(above)) if !above.is_empty() && is_plain(above) => Where::Within(above.into()),
        // Only `**` as the last part reaches deeper than one directory.
        (Some(last), Some(above))
            if !last.contains("**") && !last.contains('\\') && !above.is_empty() && is_plain(above) =>
        {
            Where::Under(above.into())
        }
        _ => Where::Everywhere,
    }
}
