//! First step of ingest: one name for one thing. A broker that does not tell its cluster gets the configured
//! alias of its (system, server address).

use hopscope_model::Batch;
use std::collections::BTreeMap;

/// Fills absent clusters. Aliases are keyed `system@server`, or `system` for every other server of it.
pub fn normalise(batch: &mut Batch, aliases: &BTreeMap<String, String>) {
    if aliases.is_empty() {
        return;
    }
    batch.fill_cluster(|system, server| {
        let exact = aliases.get(&format!("{system}@{server}"));
        exact.or_else(|| aliases.get(system)).cloned()
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use hopscope_model::{BatchBuilder, MessageEvent, Source, Stage, Tenant};

    #[test]
    fn the_exact_alias_wins_and_a_told_cluster_stays() {
        let mut builder = BatchBuilder::new(Tenant::default(), Source::Otlp, 1);
        for (system, server, cluster) in [
            ("kafka", "a:1", ""),
            ("kafka", "b:1", ""),
            ("kafka", "a:1", "told"),
            ("nats", "a:1", ""),
            ("", "a:1", ""),
        ] {
            builder.push_event(&MessageEvent {
                system: system.into(),
                server: server.into(),
                cluster: cluster.into(),
                ..MessageEvent::new(Stage::Send)
            });
        }
        let mut batch = builder.finish();
        let aliases = [("kafka@a:1", "one"), ("kafka", "other")];
        normalise(&mut batch, &aliases.map(|(key, value)| (key.to_owned(), value.to_owned())).into());
        let clusters: Vec<&str> = batch.events().map(|event| event.cluster()).collect();
        assert_eq!(clusters, ["one", "other", "told", "", ""]);
    }
}
