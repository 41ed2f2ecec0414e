//! Tables in Markdown.

use crate::load::Outcome;

/// Begins a table.
pub(crate) fn header(title: &str) {
    println!("\n| {title} | clients | per second | p50 ms | p99 ms | p99.9 ms |\n|---|---|---|---|---|---|");
}

/// One row of it.
pub(crate) fn row(name: &str, clients: usize, outcome: &Outcome) {
    let at = |quantile| outcome.latency.ms_at(quantile);
    println!(
        "| {name} | {clients} | {:.0} | {:.3} | {:.3} | {:.3} |",
        outcome.per_second,
        at(0.5),
        at(0.99),
        at(0.999)
    );
}

/// The middle of these; of an even number, the lower of the two.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get((values.len().max(1) - 1) / 2).copied().unwrap_or(f64::NAN)
}
