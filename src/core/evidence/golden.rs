//! For the tests: vectors that an independent implementation of each formula computed in double precision.

use serde_json::Value;

pub fn value(key: &str) -> Value {
    let all: Value = serde_json::from_str(include_str!("golden.json")).unwrap();
    all[key].clone()
}

pub fn list(key: &str) -> Vec<Value> {
    let list = value(key).as_array().unwrap().clone();
    assert!(!list.is_empty(), "{key}");
    list
}

pub fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("no number: {value}"))
}

pub fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(number).collect()
}

/// Asserts that both are equal within a relative 1e-9.
pub fn close(got: f64, want: f64, of: &Value) {
    assert!((got - want).abs() <= 1e-9 * want.abs().max(1.0), "{got} is not {want}: {of}");
}
