//! The metrics, as Prometheus reads them. `metrics` declares each once; a scrape reads what serves and what is counted.

#![forbid(unsafe_code)]

mod family;
mod metrics;
mod scrape;

use std::sync::Arc;

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{Registry, TextEncoder};

use crate::live::Live;
use crate::meters::Metrics;
use crate::store::Store;
use family::Family;
use scrape::Scrape;

/// The process's registry.
#[derive(Clone, Debug)]
pub struct Exporter(Registry);

/// The metrics that are read from cells and snapshots. They are one collector, so that a scrape shows one snapshot.
struct Families {
    families: Vec<Family>,
    metrics: Arc<Metrics>,
    live: Arc<Live>,
    store: Arc<Store>,
}

impl Exporter {
    pub fn new(metrics: Arc<Metrics>, live: Arc<Live>, store: Arc<Store>) -> Exporter {
        let registry = Registry::new();
        let register = |collector| registry.register(collector).expect("no two metrics have one name");
        metrics.collectors().into_iter().for_each(register);
        let families = metrics::ALL.iter().map(|(kind, name, help, labels, read)| Family::new(*kind, name, help, labels, *read)).collect();
        register(Box::new(Families { families, metrics, live, store }));
        Exporter(registry)
    }

    /// All metrics in Prometheus' text format.
    pub fn render(&self) -> String {
        TextEncoder::new().encode_to_string(&self.0.gather()).expect("families are not empty and encode into memory")
    }
}

impl Collector for Families {
    fn desc(&self) -> Vec<&Desc> {
        self.families.iter().map(|family| &family.desc).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let snapshot = self.live.current();
        let scrape = Scrape::new(&self.metrics, &self.store, &snapshot);
        self.families.iter().map(|family| family.collect(&scrape)).collect()
    }
}
