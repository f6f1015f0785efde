//! Builds the metrics' text for one scrape.

use prometheus::TextEncoder;
use prometheus::proto::{Bucket, Counter, Gauge, Histogram as HistogramProto, LabelPair, Metric, MetricFamily, MetricType};

use crate::meters::Histogram;

pub(super) type Labels<'a> = Vec<(&'a str, &'a str)>;

/// The metric families of one scrape.
#[derive(Default)]
pub(super) struct Families(Vec<MetricFamily>);

impl Families {
    pub fn counter<'a>(&mut self, name: &str, help: &str, rows: impl IntoIterator<Item = (Labels<'a>, f64)>) {
        let metrics = rows.into_iter().map(|(labels, value)| {
            let mut counter = Counter::default();
            counter.set_value(value);
            let mut metric = Metric::from_label(pairs(labels));
            metric.set_counter(counter);
            metric
        });
        self.push(name, help, MetricType::COUNTER, metrics.collect());
    }

    pub fn gauge<'a>(&mut self, name: &str, help: &str, rows: impl IntoIterator<Item = (Labels<'a>, f64)>) {
        let metrics = rows.into_iter().map(|(labels, value)| {
            let mut gauge = Gauge::default();
            gauge.set_value(value);
            let mut metric = Metric::from_label(pairs(labels));
            metric.set_gauge(gauge);
            metric
        });
        self.push(name, help, MetricType::GAUGE, metrics.collect());
    }

    /// Each row is the sum of several histograms with the same edges.
    pub fn histogram(&mut self, name: &str, help: &str, rows: Vec<(Labels<'_>, Vec<&Histogram>)>) {
        let metrics = rows.into_iter().filter(|(_, parts)| !parts.is_empty()).map(|(labels, parts)| {
            let mut counts = [0u64; 16];
            for part in &parts {
                counts.iter_mut().zip(part.counts()).for_each(|(sum, n)| *sum += n);
            }
            let mut cumulative = 0;
            let buckets = parts[0].edges().iter().zip(counts).map(|(edge, n)| {
                cumulative += n;
                let mut bucket = Bucket::default();
                bucket.set_upper_bound(*edge);
                bucket.set_cumulative_count(cumulative);
                bucket
            });
            let mut histogram = HistogramProto::default();
            histogram.set_bucket(buckets.collect());
            histogram.set_sample_count(counts.iter().sum());
            histogram.set_sample_sum(parts.iter().map(|part| part.sum_nanos() as f64 / 1e9).sum());
            let mut metric = Metric::from_label(pairs(labels));
            metric.set_histogram(histogram);
            metric
        });
        self.push(name, help, MetricType::HISTOGRAM, metrics.collect());
    }

    fn push(&mut self, name: &str, help: &str, kind: MetricType, metrics: Vec<Metric>) {
        // The encoder rejects a family without samples.
        if metrics.is_empty() {
            return;
        }
        let mut family = MetricFamily::default();
        family.set_name(name.to_owned());
        family.set_help(help.to_owned());
        family.set_field_type(kind);
        family.set_metric(metrics);
        self.0.push(family);
    }

    pub fn render(self) -> String {
        TextEncoder::new().encode_to_string(&self.0).expect("families are not empty and encode into memory")
    }
}

fn pairs(labels: Labels<'_>) -> Vec<LabelPair> {
    let pair = |(name, value): (&str, &str)| {
        let mut pair = LabelPair::default();
        pair.set_name(name.to_owned());
        pair.set_value(value.to_owned());
        pair
    };
    labels.into_iter().map(pair).collect()
}
