//! Interleaved rounds: in each, everybody is measured once, so that what else the machine does meets all alike. Medians,
//! and medians of the ratios within a round.

use crate::load::Failure;

/// The middle of these; of an even number, the lower of the two.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get((sorted.len().max(1) - 1) / 2).copied().unwrap_or(f64::NAN)
}

/// Figures per contestant and round.
pub struct Rounds {
    names: Vec<&'static str>,
    figures: Vec<Vec<f64>>,
}

impl Rounds {
    /// Runs every contestant once a round. The order turns by one each round, and back to front every other round, so that
    /// nobody always comes after the same one.
    pub fn run(
        names: &[&'static str],
        rounds: usize,
        mut measure: impl FnMut(usize) -> Result<f64, Failure>,
    ) -> Result<Self, Failure> {
        let mut figures = vec![Vec::new(); names.len()];
        for round in 0..rounds {
            for turn in 0..names.len() {
                let turn = if round % 2 == 0 { turn } else { names.len() - 1 - turn };
                let contestant = (turn + round) % names.len();
                let figure =
                    measure(contestant).map_err(|error| format!("{}: {error}", names[contestant]))?;
                figures[contestant].push(figure);
            }
        }
        Ok(Self { names: names.to_vec(), figures })
    }

    /// The median of one contestant.
    pub fn median(&self, contestant: usize) -> f64 {
        median(&self.figures[contestant])
    }

    /// The median, over rounds, of `ours` divided by the best of `theirs`.
    pub fn ratio(&self, ours: usize, theirs: &[usize]) -> f64 {
        let best = |round: usize| theirs.iter().map(|it| self.figures[*it][round]).fold(f64::MIN, f64::max);
        let ratios: Vec<f64> =
            self.figures[ours].iter().enumerate().map(|(round, figure)| figure / best(round)).collect();
        median(&ratios)
    }

    /// Who took part.
    pub fn names(&self) -> &[&'static str] {
        &self.names
    }
}

/// A rate for people: 1234567 as 1,234,567, to three digits.
pub fn rate(value: f64) -> String {
    if !value.is_finite() {
        return String::from("-");
    }
    let scale = 10_f64.powf((value.max(1.0).log10().floor() - 2.0).max(0.0));
    let digits = format!("{:.0}", (value / scale).round() * scale);
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at) % 3 == 0 {
            out.push(',');
        }
        out.push(digit);
    }
    out
}
