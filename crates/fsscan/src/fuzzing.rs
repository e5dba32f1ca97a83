//! Arbitrary bytes for whatever reads stored directories and rules. For fuzzers only.
use crate::{
    RootRequest, Rules, ScanRequest,
    codec::{Packer, decode_entries},
    entry::Entry,
    found_rules::FoundRules,
    hashes::{self, decode_hashes},
    sys,
};
use std::sync::Arc;

/// The packed entries of a directory.
///
/// # Panics
/// When entries that were read do not come again after they were packed, or more are read than the bytes can hold.
pub fn entries(data: &[u8]) {
    let Ok(items) = decode_entries(data) else { return };
    // An entry takes five bytes at least; damage is one item more.
    let most = data.len() / 5 + 1;
    let read: Vec<_> = items.take(most + 1).collect();
    assert!(read.len() <= most, "{} entries out of {} bytes", read.len(), data.len());
    assert!(
        read.iter().rev().skip(1).all(Result::is_ok),
        "something was read after damage"
    );
    let Ok(read) = read.into_iter().collect::<Result<Vec<(&[u8], Entry)>, _>>() else {
        return;
    };
    let mut packed = Vec::new();
    let mut packer = Packer::new(&mut packed, read.len());
    read.iter().for_each(|(name, entry)| packer.push(name, entry));
    assert!(
        packed.len() <= data.len().max(2),
        "packed anew they take more than they did"
    );
    let again: Result<Vec<_>, _> =
        decode_entries(&packed).map_or_else(|damage| vec![Err(damage)].into_iter().collect(), Iterator::collect);
    assert_eq!(again, Ok(read));
}

/// The packed hashes of a directory.
///
/// # Panics
/// When hashes that were read do not come again after they were packed.
pub fn content_hashes(data: &[u8]) {
    let read: Vec<_> = decode_hashes(data).collect();
    assert!(
        read.len() <= data.len() / 35,
        "{} hashes out of {} bytes",
        read.len(),
        data.len()
    );
    let mut packed = Vec::new();
    for (index, known) in &read {
        if let Ok(index) = usize::try_from(*index) {
            hashes::push(&mut packed, index, known);
        }
    }
    assert_eq!(decode_hashes(&packed).collect::<Vec<_>>(), read);
}

/// A path, and below it ignore patterns, one a line.
///
/// # Panics
/// When a name alone is judged otherwise than its whole path.
pub fn ignore_rules(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let mut lines = text.lines();
    let asked = lines.next().unwrap_or_default();
    let (is_dir, asked) = asked.strip_suffix('/').map_or((false, asked), |path| (true, path));
    let (directory, name) = asked.rsplit_once('/').unwrap_or(("", asked));
    let is_name = |part: &str| !part.is_empty() && part != "." && part != ".." && !part.contains('\0');
    if !is_name(name) || !(directory.is_empty() || directory.split('/').all(is_name)) {
        return;
    }
    let mut request = ScanRequest::new(vec![RootRequest::new("/r")]);
    request.ignore = lines.map(str::to_owned).collect();
    let Ok(rules) = Rules::new(&request, &request.roots[0]) else {
        return;
    };
    let whole = rules.decide(sys::path_of(asked.as_bytes()), is_dir);
    if !rules.needs_paths(directory.as_bytes()) {
        let by_name = rules.decide_name(name.as_bytes(), is_dir);
        assert_eq!(by_name, whole, "{asked:?} by its name and by its path");
    }
}

/// The text of an ignore file.
///
/// # Panics
/// When a line that was refused leaves no message, or a rule of one file reaches out of its directory.
pub fn ignore_file(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let rules = |above, text: &str, depth| FoundRules::new(above, "/r/.ignore".into(), text.to_owned(), depth);
    let (top, faults) = rules(None, &text, 0);
    assert!(faults.iter().all(|fault| !fault.is_empty()));
    assert!(faults.len() <= text.lines().count() + 1);
    let here = top.check(b"a", false);
    // The same file one directory deeper says the same of the same name there.
    let (deeper, _) = rules(None, &text, 1);
    assert_eq!(deeper.check(b"d/a", false), here);
    // A deeper file that is silent leaves the word to the one above.
    let (silent, _) = rules(Some(Arc::new(top)), "# nothing\n", 0);
    assert_eq!(silent.check(b"a", false), here);
}
