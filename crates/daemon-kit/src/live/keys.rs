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

/// The keys of settings, or of a part of them; a map without entries is a key too. A product's test sees by it that each
/// key belongs to exactly one part of its [`Reload`](super::Reload).
pub fn keys_of<T: Serialize>(settings: &T) -> BTreeSet<String> {
    fn descend(at: &str, value: &Value, keys: &mut BTreeSet<String>) {
        match value {
            Value::Object(map) if !map.is_empty() => {
                for (name, value) in map {
                    let key = if at.is_empty() {
                        name.clone()
                    } else {
                        format!("{at}.{name}")
                    };
                    descend(&key, value, keys);
                }
            }
            _ => drop(keys.insert(at.to_owned())),
        }
    }
    let mut keys = BTreeSet::new();
    if let Ok(value) = serde_json::to_value(settings) {
        descend("", &value, &mut keys);
    }
    keys
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
    fn every_key_is_found_of_empty_maps_too() {
        let keys = keys_of(&json!({"a": {"b": [1], "c": {}}, "d": null}));
        assert_eq!(Vec::from_iter(keys), ["a.b", "a.c", "d"]);
    }

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
