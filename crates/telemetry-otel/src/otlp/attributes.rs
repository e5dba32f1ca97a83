//! Values as OTLP has them.
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, KeyValue, KeyValueList, any_value};
use serde_json::Value;

/// A text under a name.
pub(crate) fn text(name: &str, value: &str) -> KeyValue {
    KeyValue {
        key: name.to_owned(),
        value: Some(of_text(value)),
        key_strindex: 0,
    }
}

/// A text.
pub(crate) fn of_text(value: &str) -> AnyValue {
    AnyValue {
        value: Some(any_value::Value::StringValue(value.to_owned())),
    }
}

/// A value of JSON under a name.
pub(crate) fn json(name: &str, value: &Value) -> KeyValue {
    KeyValue {
        key: name.to_owned(),
        value: Some(of_json(value)),
        key_strindex: 0,
    }
}

fn of_json(value: &Value) -> AnyValue {
    let value = match value {
        Value::Null => None,
        Value::Bool(truth) => Some(any_value::Value::BoolValue(*truth)),
        // What no whole number of 64 bits with a sign holds is told as near as a fraction comes.
        Value::Number(number) => number
            .as_i64()
            .map(any_value::Value::IntValue)
            .or_else(|| number.as_f64().map(any_value::Value::DoubleValue)),
        Value::String(text) => Some(any_value::Value::StringValue(text.clone())),
        Value::Array(values) => Some(any_value::Value::ArrayValue(ArrayValue {
            values: values.iter().map(of_json).collect(),
        })),
        Value::Object(entries) => Some(any_value::Value::KvlistValue(KeyValueList {
            values: entries.iter().map(|(name, value)| json(name, value)).collect(),
        })),
    };
    AnyValue { value }
}

#[cfg(test)]
mod tests {
    use super::*;
    use any_value::Value::*;

    #[test]
    fn json_keeps_its_shape() {
        let value = serde_json::json!({"a": [1, 2.5, null, true], "b": u64::MAX});
        let Some(KvlistValue(map)) = of_json(&value).value else {
            panic!("an object is a map");
        };
        let of = |index: usize| map.values[index].value.clone().unwrap().value.unwrap();
        let ArrayValue(list) = of(0) else {
            panic!("a list is a list");
        };
        let list: Vec<_> = list.values.into_iter().map(|value| value.value).collect();
        assert_eq!(
            list,
            [Some(IntValue(1)), Some(DoubleValue(2.5)), None, Some(BoolValue(true))]
        );
        assert_eq!(of(1), DoubleValue(u64::MAX as f64));
    }
}
