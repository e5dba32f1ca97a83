//! The scanner's configuration in the file-scanner document.
use crate::settings::ScannerConfig;
use fleet_link::agent::Document;
use fleet_wire::files_v1;
use serde_json::{Map, Value, json};

/// How the scanner speaks with a server of the document.
pub(crate) const DOCUMENT: Document<ScannerConfig> = Document {
    scan_paths: own_paths,
    layer,
};

/// The scan paths of this machine's own configuration, as they are registered.
fn own_paths(local: &ScannerConfig) -> Vec<String> {
    let paths = local.scanner.scan_paths.iter();
    paths.map(|path| path.path.to_string_lossy().into_owned()).collect()
}

/// What the server set, in our keys; `None` for nothing. The scan paths that it has from us are no wish of its: left out,
/// they keep the rules that they have here.
fn layer(config: files_v1::Config, is_ours: bool) -> Option<Value> {
    let files_v1::Config {
        scan_paths,
        ignore_patterns,
        scan_interval,
        batch_size,
    } = config;
    let mut scanner = Map::new();
    let mut set = |key: &str, is_set: bool, value: Value| {
        if is_set {
            scanner.insert(key.to_owned(), value);
        }
    };
    set("scan_paths", !scan_paths.is_empty() && !is_ours, json!(scan_paths));
    set("ignore_patterns", !ignore_patterns.is_empty(), json!(ignore_patterns));
    set("scan_interval", !scan_interval.is_empty(), json!(scan_interval));
    set("batch_size", batch_size > 0, json!(batch_size));
    (!scanner.is_empty()).then(|| json!({"scanner": scanner}))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_server_set_is_in_the_layer() {
        let config = || files_v1::Config {
            scan_paths: vec!["/srv".to_owned()],
            ignore_patterns: vec!["*.tmp".to_owned()],
            scan_interval: "30m".to_owned(),
            batch_size: 50,
        };
        let whole = json!({"scanner": {
            "scan_paths": ["/srv"], "ignore_patterns": ["*.tmp"], "scan_interval": "30m", "batch_size": 50,
        }});
        assert_eq!(layer(config(), false), Some(whole));
        let own = layer(config(), true).unwrap();
        assert_eq!(own["scanner"]["scan_paths"], Value::Null, "{own}");
        assert_eq!(layer(files_v1::Config::default(), false), None);
        let echo = files_v1::Config {
            scan_paths: vec!["/srv".to_owned()],
            ..files_v1::Config::default()
        };
        assert_eq!(layer(echo, true), None);
    }
}
