//! The store path in the report: its ways against each other, and how many events a batch of so many carries.

use super::{
    estimates::{Bench, Run},
    ratios::over,
    report::Kept,
};
use crate::{
    chart::{BatchRate, BatchSeries},
    document::{Block, Cell, Table},
};

/// Stem of the chart's files.
pub const CHART: &str = "benches-store";

/// Each way to store, at each round trip: events/s in multiples of the awaited way, at the batch of the comparison.
pub fn ways(run: &Run) -> Option<Block> {
    let trips = round_trips(run);
    let names = ["awaited", "pipeline", "transaction", "function", "store"];
    let row = |name: &&str| {
        let cell = |(_, group): &(f64, String)| {
            let find = |function: &str, batch: &str| run.bench(&format!("{group}/{function}/{batch}"));
            match (find(name, if *name == "awaited" { "1" } else { "64" }), find("awaited", "1")) {
                (Some(this), Some(base)) => {
                    let measured = over(base.each_ns(), this.each_ns());
                    Cell::number(format!("{:.1}", measured.median), measured.median)
                }
                _ => "–".into(),
            }
        };
        [vec![(*name).into()], trips.iter().map(cell).collect()].concat()
    };
    let title = "events/s over the awaited way's; 64 at once".to_owned();
    let header: Vec<String> =
        [title].into_iter().chain(trips.iter().map(|(ms, _)| format!("{ms} ms round trip"))).collect();
    let header: Vec<&str> = header.iter().map(String::as_str).collect();
    (!trips.is_empty()).then(|| Block::Table(Table::new("ways", &header, names.iter().map(row).collect())))
}

/// Groups of the store by their round trip in ms.
fn round_trips(run: &Run) -> Vec<(f64, String)> {
    let ms = |group: &str| group.strip_prefix("store, ")?.strip_suffix(" ms round trip")?.parse().ok();
    let mut trips: Vec<(f64, String)> =
        run.benches.iter().filter_map(|bench| Some((ms(&bench.group)?, bench.group.clone()))).collect();
    trips.sort_by(|a, b| a.0.total_cmp(&b.0));
    trips.dedup();
    trips
}

/// The chart of the store.
pub fn rates(kept: &Kept) -> BatchRate {
    let series = |(ms, group): (f64, String)| {
        let of_store = |bench: &&Bench| bench.group == group && bench.function == "store";
        let point = |bench: &Bench| {
            let batch = bench.value.as_ref()?.parse().ok()?;
            Some((batch, 1e9 / bench.each_ns()[0]))
        };
        let mut points: Vec<(f64, f64)> = kept.run.benches.iter().filter(of_store).filter_map(point).collect();
        points.sort_by(|a, b| a.0.total_cmp(&b.0));
        BatchSeries { name: format!("{ms} ms round trip"), points }
    };
    BatchRate {
        title: "Events stored a second, by the events of a batch".to_owned(),
        caption: format!("Store: one script an event, one round trip a batch. {}; {}.", kept.machine, kept.revision),
        series: round_trips(&kept.run).into_iter().map(series).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::{super::report::tests::kept, *};

    #[test]
    fn the_chart_has_a_line_a_round_trip() {
        let chart = rates(&kept());
        assert_eq!(chart.series.len(), 2);
        assert_eq!(chart.series[0].points, [(64.0, 100_000.0)]);
    }
}
