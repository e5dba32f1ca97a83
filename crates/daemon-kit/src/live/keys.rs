//! Which keys differ between two configurations.
use serde::Serialize;
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};

/// The keys of settings with their values; a list is one value. A secret shows as `***`, so a change of one is not seen
/// here.
pub(super) fn flat<T: Serialize>(settings: &T) -> BTreeMap<String, Value> {
    let mut keys = BTreeMap::new();
    if let Ok(Value::Object(sections)) = serde_json::to_value(settings) {
        descend("", sections, &mut keys);
    }
    keys
}

fn descend(at: &str, map: Map<String, Value>, keys: &mut BTreeMap<String, Value>) {
    for (name, value) in map {
        let key = if at.is_empty() { name } else { format!("{at}.{name}") };
        match value {
            Value::Object(inner) => descend(&key, inner, keys),
            value => drop(keys.insert(key, value)),
        }
    }
}

/// The keys that differ, in order.
pub(super) fn changed(old: &BTreeMap<String, Value>, new: &BTreeMap<String, Value>) -> Vec<String> {
    let all: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    all.into_iter()
        .filter(|key| old.get(*key) != new.get(*key))
        .cloned()
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_changed_an_added_and_a_removed_key_are_named_in_order() {
        let old = flat(&json!({"scanner": {"paths": ["/a"], "types": {".x": "a/b"}}, "level": "info"}));
        let new = flat(&json!({"scanner": {"paths": ["/a", "/b"], "types": {".y": "a/b"}}, "level": "info"}));
        assert_eq!(
            changed(&old, &new),
            ["scanner.paths", "scanner.types..x", "scanner.types..y"]
        );
        assert!(changed(&old, &old).is_empty());
    }
}
