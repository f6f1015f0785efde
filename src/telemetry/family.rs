//! One metric: its name, help text and labels, and where its samples come from.

use std::collections::HashMap;

use prometheus::core::Desc;
use prometheus::proto::{Bucket, Counter, Gauge, Histogram as HistogramProto, LabelPair, Metric, MetricFamily, MetricType};

use super::scrape::{Scrape, Serving};
use crate::meters::{BotMeters, Histogram};

pub(super) struct Family {
    pub desc: Desc,
    kind: MetricType,
    read: Read,
}

/// Where a metric's samples come from.
#[derive(Clone, Copy)]
pub(super) enum Read {
    Process(fn(&Scrape<'_>, &mut Samples<'_>)),
    /// Called for each bot that serves, whose name is the first label.
    Serving(fn(&Serving<'_>, &mut Samples<'_>)),
    /// Called for each bot that was ever counted, whose name is the first label.
    Counted(fn(&BotMeters, &mut Samples<'_>)),
}

/// The samples of one metric in one scrape.
pub(super) struct Samples<'a> {
    family: &'a Family,
    bot: Option<&'a str>,
    metrics: Vec<Metric>,
}

impl Family {
    pub fn new(kind: MetricType, name: &str, help: &str, labels: &[&str], read: Read) -> Family {
        let labels = labels.iter().map(|label| (*label).to_owned()).collect();
        let desc = Desc::new(name.to_owned(), help.to_owned(), labels, HashMap::new());
        Family { desc: desc.expect("its names are valid, and it has a help text"), kind, read }
    }

    pub fn collect(&self, scrape: &Scrape<'_>) -> MetricFamily {
        let mut samples = Samples { family: self, bot: None, metrics: Vec::new() };
        match self.read {
            Read::Process(read) => read(scrape, &mut samples),
            Read::Serving(read) => scrape.serving.iter().for_each(|bot| read(bot, samples.of(bot.bot.name.as_str()))),
            Read::Counted(read) => scrape.counted.iter().for_each(|bot| read(bot, samples.of(&bot.name))),
        }
        let mut family = MetricFamily::default();
        family.set_name(self.desc.fq_name.clone());
        family.set_help(self.desc.help.clone());
        family.set_field_type(self.kind);
        family.set_metric(samples.metrics);
        family
    }
}

impl<'a> Samples<'a> {
    fn of(&mut self, bot: &'a str) -> &mut Samples<'a> {
        self.bot = Some(bot);
        self
    }

    /// Adds the sample of a counter or a gauge with these values of the labels after `bot`.
    pub fn add<const N: usize>(&mut self, labels: [&str; N], value: f64) {
        let mut metric = self.labelled(&labels);
        if self.family.kind == MetricType::COUNTER {
            let mut counter = Counter::default();
            counter.set_value(value);
            metric.set_counter(counter);
        } else {
            let mut gauge = Gauge::default();
            gauge.set_value(value);
            metric.set_gauge(gauge);
        }
        self.metrics.push(metric);
    }

    /// Adds the sum of the workers' histograms, which all have the same edges.
    pub fn add_histogram<'h, const N: usize>(&mut self, labels: [&str; N], parts: impl Iterator<Item = &'h Histogram>) {
        let (mut edges, mut counts, mut sum) = (&[][..], [0; 16], 0.0);
        for part in parts {
            edges = part.edges();
            counts.iter_mut().zip(part.counts()).for_each(|(sum, count)| *sum += count);
            sum += part.sum_nanos() as f64 / 1e9;
        }
        let mut cumulative = 0;
        let buckets = edges.iter().zip(counts).map(|(edge, count)| {
            cumulative += count;
            let mut bucket = Bucket::default();
            bucket.set_upper_bound(*edge);
            bucket.set_cumulative_count(cumulative);
            bucket
        });
        let mut histogram = HistogramProto::default();
        histogram.set_bucket(buckets.collect());
        histogram.set_sample_count(counts.iter().sum());
        histogram.set_sample_sum(sum);
        let mut metric = self.labelled(&labels);
        metric.set_histogram(histogram);
        self.metrics.push(metric);
    }

    fn labelled(&self, labels: &[&str]) -> Metric {
        let values = self.bot.iter().chain(labels);
        let pair = |(name, value): (&String, &&str)| {
            let mut pair = LabelPair::default();
            pair.set_name(name.clone());
            pair.set_value((*value).to_owned());
            pair
        };
        Metric::from_label(self.family.desc.variable_labels.iter().zip(values).map(pair).collect())
    }
}
