//! Tables in Markdown.

use crate::clusters::Failure;
use crate::load::Outcome;

/// What a row tells: of one run, or medians of several.
pub(crate) struct Figures {
    pub(crate) per_second: f64,
    p50_ms: f64,
    p99_ms: f64,
    p999_ms: f64,
}

impl From<&Outcome> for Figures {
    fn from(outcome: &Outcome) -> Self {
        let at = |quantile| outcome.latency.ms_at(quantile);
        Self { per_second: outcome.per_second, p50_ms: at(0.5), p99_ms: at(0.99), p999_ms: at(0.999) }
    }
}

/// Measures so many times, and takes the median of each figure.
pub(crate) async fn median_of(
    rounds: usize,
    measure: impl AsyncFn() -> Result<Outcome, Failure>,
) -> Result<Figures, Failure> {
    let mut all = Vec::new();
    for _ in 0..rounds {
        all.push(Figures::from(&measure().await?));
    }
    let middle = |figure: fn(&Figures) -> f64| median(all.iter().map(figure).collect());
    Ok(Figures {
        per_second: middle(|it| it.per_second),
        p50_ms: middle(|it| it.p50_ms),
        p99_ms: middle(|it| it.p99_ms),
        p999_ms: middle(|it| it.p999_ms),
    })
}

/// Begins a table.
pub(crate) fn header(title: &str) {
    println!("\n| {title} | clients | per second | p50 ms | p99 ms | p99.9 ms |\n|---|---|---|---|---|---|");
}

/// One row of it.
pub(crate) fn row(name: &str, clients: usize, figures: impl Into<Figures>) {
    let Figures { per_second, p50_ms, p99_ms, p999_ms } = figures.into();
    println!("| {name} | {clients} | {per_second:.0} | {p50_ms:.3} | {p99_ms:.3} | {p999_ms:.3} |");
}

/// The middle of these; of an even number, the lower of the two.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get((values.len().max(1) - 1) / 2).copied().unwrap_or(f64::NAN)
}
