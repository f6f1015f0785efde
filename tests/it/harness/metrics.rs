//! `/metrics`, read back.

use std::collections::BTreeMap;

#[derive(Clone, Debug)]
pub struct Metrics(Vec<Sample>);

#[derive(Clone, Debug)]
struct Sample {
    name: String,
    labels: BTreeMap<String, String>,
    value: f64,
}

impl Metrics {
    pub fn parse(text: &str) -> Metrics {
        Metrics(text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).map(Sample::parse).collect())
    }

    /// The sum over all samples of this name with these labels; 0 where there is none.
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.values(name, labels).iter().sum()
    }

    /// Of each sample of this name with these labels.
    pub fn values(&self, name: &str, labels: &[(&str, &str)]) -> Vec<f64> {
        let fits = |sample: &&Sample| sample.name == name && labels.iter().all(|(k, v)| sample.labels.get(*k).is_some_and(|is| is == v));
        self.0.iter().filter(fits).map(|sample| sample.value).collect()
    }

    pub fn has(&self, name: &str) -> bool {
        self.0.iter().any(|sample| sample.name == name)
    }

    /// A label of the only sample of this name.
    pub fn label(&self, name: &str, label: &str) -> Option<&str> {
        self.0.iter().find(|sample| sample.name == name)?.labels.get(label).map(String::as_str)
    }
}

impl Sample {
    fn parse(line: &str) -> Sample {
        let (series, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("no sample: {line}"));
        let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
        let mut pairs = BTreeMap::new();
        let mut rest = labels.strip_suffix('}').unwrap_or_else(|| panic!("no labels: {line}"));
        while let Some((label, after)) = rest.split_once("=\"") {
            let end = after.find('"').unwrap_or_else(|| panic!("no value: {line}"));
            pairs.insert(label.trim_start_matches(',').to_owned(), after[..end].to_owned());
            rest = &after[end + 1..];
        }
        let value = value.parse().unwrap_or_else(|_| panic!("no number: {line}"));
        Sample { name: name.to_owned(), labels: pairs, value }
    }
}
