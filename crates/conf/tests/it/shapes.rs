//! Shapes of types: choices, options, maps with keys of other types, and what plain text becomes.

use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf};

use conf::{Format, Problem, from_tree, parse};
use serde::{Deserialize, de::DeserializeOwned};

use crate::model::Period;

#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
struct Shapes {
    checks: Vec<Check>,
    ports: BTreeMap<u16, Option<Period>>,
    listen: Option<SocketAddr>,
    home: PathBuf,
    pair: (u8, String),
    name: String,
    version: String,
    ratio: f32,
    any: serde_json::Value,
    #[serde(alias = "old")]
    new: bool,
    small: i8,
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Check {
    Ping,
    Http { url: String, timeout: Period },
    Port(u16),
}

fn read(text: &str, format: Format) -> Result<Shapes, Vec<(String, String)>> {
    keys(text, format)
}

fn keys<T: DeserializeOwned>(text: &str, format: Format) -> Result<T, Vec<(String, String)>> {
    let tree = parse("shapes", text, format).map_err(|problems| vec![("-".to_owned(), problems.to_string())])?;
    from_tree::<T>(&tree).map_err(|problems| {
        let shown = |problem: &Problem| {
            let place = problem.place().unwrap();
            (
                format!("{} {}:{}", problem.key().unwrap_or("-"), place.line, place.column),
                problem.message().to_owned(),
            )
        };
        problems.iter().map(shown).collect()
    })
}

#[test]
fn plain_text_is_what_its_reader_wants() {
    let text = "name: NO\nversion: 1.10\nhome: 007\nratio: 1e-1\nany: {a: NO, b: 1.5, c: 0x10, d: true, e: 1_000, f: ~}\npair: [1, 2]\nold: true\n";
    let shapes = read(text, Format::Yaml).unwrap();
    assert_eq!((shapes.name.as_str(), shapes.version.as_str()), ("NO", "1.10"));
    assert_eq!(
        (shapes.home, shapes.ratio, shapes.new),
        (PathBuf::from("007"), 0.1, true)
    );
    assert_eq!(shapes.pair, (1, "2".to_owned()));
    let any = serde_json::json!({"a": "NO", "b": 1.5, "c": 16, "d": true, "e": "1_000", "f": null});
    assert_eq!(shapes.any, any);
}

#[test]
fn choices_are_read_by_name_or_as_a_section() {
    let text = "checks: [ping, {port: 80}, {http: {url: x, timeout: 5s}}, {ping: }]\nports: {80: 5s, 81: }\nlisten: '[::1]:80'\n";
    let shapes = read(text, Format::Yaml).unwrap();
    let http = Check::Http {
        url: "x".to_owned(),
        timeout: Period(5),
    };
    assert_eq!(shapes.checks, [Check::Ping, Check::Port(80), http, Check::Ping]);
    assert_eq!(shapes.ports, BTreeMap::from([(80, Some(Period(5))), (81, None)]));
    assert_eq!(shapes.listen, Some("[::1]:80".parse().unwrap()));
}

#[test]
fn errors_arrive_with_their_place_through_every_shape() {
    let text = "\
checks:
  - pong
  - http: {url: x, timeout: soon}
  - http: {url: x, timout: 5s}
  - port: many
  - ping: {a: 1}
  - http
  - {port: 1, ping: }
ports: {x: 5s, 81: soon}
listen: nowhere
pair: [1]
ratio: much
old: true
new: true
";
    let problems = read(text, Format::Yaml).unwrap_err();
    let expected = [
        ("checks[0] 2:5", "expected `ping`, `http` or `port`, found `pong`"),
        (
            "checks[1].http.timeout 3:29",
            "expected a duration such as `30s` or `5m`, found `soon`",
        ),
        ("checks[2].http.timout 4:20", "unknown key `timout`"),
        (
            "checks[3].port 5:11",
            "expected a whole number from 0 to 65535, found the text `many`",
        ),
        ("checks[4].ping 6:11", "`ping` takes no settings of its own"),
        ("checks[5] 7:5", "`http` needs settings of its own"),
        (
            "checks[6] 8:5",
            "expected `ping`, `http` or `port`, found a section with several keys",
        ),
        (
            "ports.x 9:9",
            "expected a whole number from 0 to 65535, found the text `x`",
        ),
        (
            "ports.81 9:20",
            "expected a duration such as `30s` or `5m`, found `soon`",
        ),
        ("listen 10:9", "invalid socket address syntax"),
        ("pair 11:7", "expected a list of 2 values, found 1 value"),
        ("ratio 12:8", "expected a number, found the text `much`"),
        ("new 14:1", "the key `new` is given twice, under two of its names"),
    ];
    for (position, (key, message)) in expected.iter().enumerate() {
        assert_eq!(problems[position], ((*key).to_owned(), (*message).to_owned()));
    }
}

#[test]
fn numbers_outside_every_range() {
    let problems = read("ratio: [1]\nsmall: -129\npair: [-1, a]\n", Format::Yaml).unwrap_err();
    assert_eq!(problems[1].1, "expected a whole number from -128 to 127, found `-129`");
    assert_eq!(
        problems[2],
        (
            "pair[0] 3:8".to_owned(),
            "expected a whole number from 0 to 255, found `-1`".to_owned()
        )
    );
    let problems = read("small = 170141183460469231731687303715884105727", Format::Toml).unwrap_err();
    assert!(
        problems[0].1.starts_with("expected a whole number from -128 to 127"),
        "{problems:?}"
    );
}

#[test]
fn aliases_and_tags_of_the_core_schema() {
    let text = "name: &n !!str 12\nversion: *n\npair: !!seq [!!int '3', x]\n";
    let shapes = read(text, Format::Yaml);
    assert_eq!(
        shapes.unwrap_err()[0].1,
        "expected a whole number from 0 to 255, found the text `3`"
    );
    let shapes = read("name: &n !!str 12\nversion: *n\n", Format::Yaml).unwrap();
    assert_eq!((shapes.name.as_str(), shapes.version.as_str()), ("12", "12"));
}

#[test]
fn places_are_true_beside_other_alphabets_and_line_ends() {
    let text = "# ä€😀\r\nname: \"ö\"\r\nratio:  müll # ü\r\n";
    let problems = read(text, Format::Yaml).unwrap_err();
    assert_eq!(problems[0].0, "ratio 3:9");
    let problems = read("name = 'ö€'; \nratio = 1", Format::Toml).unwrap_err();
    assert!(problems[0].1.contains("1:12"), "{problems:?}");
    let problems = read("{\"name\": \"ö€\", \"ratio\": \"x\"}", Format::Json).unwrap_err();
    assert_eq!(problems[0].0, "ratio 1:25");
}

#[test]
fn nothing_at_all_is_an_empty_section() {
    for (text, format) in [
        ("", Format::Yaml),
        ("# nothing\n", Format::Yaml),
        ("---\n", Format::Yaml),
        ("\u{feff}", Format::Toml),
        (" // nothing\n", Format::Json),
        ("{}", Format::Json),
    ] {
        assert_eq!(read(text, format).unwrap(), Shapes::default(), "{text:?}");
    }
}

#[test]
fn an_unknown_key_is_found_even_where_serde_would_ignore_it() {
    /// Reads itself by way of a map, without `deny_unknown_fields`.
    #[derive(Debug, PartialEq)]
    struct Lax(u8);

    impl<'de> Deserialize<'de> for Lax {
        fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            #[derive(Deserialize)]
            struct Fields {
                #[serde(default)]
                size: u8,
            }
            struct Visitor;
            impl<'de> serde::de::Visitor<'de> for Visitor {
                type Value = Lax;

                fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                    f.write_str("a section with `size`")
                }

                fn visit_map<A: serde::de::MapAccess<'de>>(self, map: A) -> Result<Lax, A::Error> {
                    let fields = Fields::deserialize(serde::de::value::MapAccessDeserializer::new(map))?;
                    Ok(Lax(fields.size))
                }
            }
            deserializer.deserialize_any(Visitor)
        }
    }

    let problems = keys::<Vec<Lax>>("- {size: 3}\n- {sise: 3}\n- 5\n", Format::Yaml).unwrap_err();
    let expected = [
        ("[1].sise 2:4", "unknown key `sise`"),
        ("[2] 3:3", "expected a section with `size`, found the number `5`"),
    ];
    assert_eq!(
        problems,
        expected.map(|(key, message)| (key.to_owned(), message.to_owned()))
    );
}
