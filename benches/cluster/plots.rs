//! [`Plots`]: what was measured, drawn as SVG.

use std::fs;
use std::ops::Range;
use std::path::Path;

use plotters::coord::ranged1d::{KeyPointHint, NoDefaultFormatting, Ranged, ValueFormatter};
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::clusters::Failure;

/// What there is a plot of.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Plot {
    Clients,
    Nodes,
    Payload,
    LogLength,
}

const PLOTS: [Plot; 4] = [Plot::Clients, Plot::Nodes, Plot::Payload, Plot::LogLength];

#[derive(Clone, Copy)]
enum Scale {
    /// From zero.
    Linear,
    Logarithmic,
}

impl Scale {
    /// Where a value stands on its axis.
    fn place(self, value: f64) -> f64 {
        match self {
            Self::Linear => value,
            Self::Logarithmic => value.log10(),
        }
    }
}

struct Axis {
    title: &'static str,
    scale: Scale,
    label: fn(f64) -> String,
}

impl Axis {
    fn linear(title: &'static str) -> Self {
        Self { title, scale: Scale::Linear, label: amount }
    }

    fn logarithmic(title: &'static str) -> Self {
        Self { title, scale: Scale::Logarithmic, label: amount }
    }
}

/// An axis with its ticks, which reaches from one place to another.
struct Ruled {
    axis: Axis,
    ticks: Vec<f64>,
    ends: (f64, f64),
}

impl Ruled {
    /// Reaches from the first tick to the last, and beyond by this share.
    fn new(axis: Axis, ticks: Vec<f64>, room: f64) -> Self {
        let places = || ticks.iter().map(|tick| axis.scale.place(*tick));
        let (from, upto) = (places().fold(f64::MAX, f64::min), places().fold(f64::MIN, f64::max));
        let room = (upto - from).max(0.1) * room;
        Self { axis, ticks, ends: (from - room, upto + room) }
    }
}

impl Ranged for Ruled {
    type FormatOption = NoDefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, (first, last): (i32, i32)) -> i32 {
        let (from, upto) = self.ends;
        let share = (self.axis.scale.place(*value) - from) / (upto - from);
        first + (share * f64::from(last - first)).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, hint: Hint) -> Vec<f64> {
        if hint.weight().allow_light_points() { Vec::new() } else { self.ticks.clone() }
    }

    fn range(&self) -> Range<f64> {
        self.ticks[0]..self.ticks[self.ticks.len() - 1]
    }
}

impl ValueFormatter<f64> for Ruled {
    fn format_ext(&self, value: &f64) -> String {
        (self.axis.label)(*value)
    }
}

impl Plot {
    fn file(self) -> &'static str {
        match self {
            Self::Clients => "clients.svg",
            Self::Nodes => "nodes.svg",
            Self::Payload => "payload.svg",
            Self::LogLength => "log-length.svg",
        }
    }

    fn title(self) -> &'static str {
        match self {
            Self::Clients => "Three nodes, writes of 256 bytes",
            Self::Nodes => "64 clients, writes of 256 bytes",
            Self::Payload => "Three nodes, by size of a command",
            Self::LogLength => "Three nodes, TCP and files, nothing compacted, entries of 16 bytes",
        }
    }

    /// The horizontal and the vertical one.
    fn axes(self) -> (Axis, Axis) {
        let writes = || Axis::logarithmic("writes per second");
        match self {
            Self::Clients => {
                let clients = Axis { label: whole, ..Axis::logarithmic("closed-loop clients") };
                (clients, writes())
            }
            Self::Nodes => (Axis::linear("nodes"), writes()),
            Self::Payload => {
                let payload = Axis { label: bytes, ..Axis::logarithmic("bytes of a command") };
                (payload, Axis::logarithmic("megabytes of commands per second"))
            }
            Self::LogLength => {
                (Axis::logarithmic("entries in the log"), Axis::linear("microseconds per entry"))
            }
        }
    }
}

struct Series {
    plot: Plot,
    name: &'static str,
    points: Vec<(f64, f64)>,
}

/// The series measured so far.
#[derive(Default)]
pub(crate) struct Plots(Vec<Series>);

impl Plots {
    /// Takes one down: what it is over, and what it comes to. Points at which nothing was measured are left out.
    pub(crate) fn series(&mut self, plot: Plot, name: &'static str, mut points: Vec<(f64, f64)>) {
        points.retain(|(_, y)| y.is_finite() && *y > 0.0);
        if !points.is_empty() {
            self.0.push(Series { plot, name, points });
        }
    }

    /// Draws each plot of which there are series into a file in this folder.
    pub(crate) fn draw(&self, dir: &Path) -> Result<(), Failure> {
        fs::create_dir_all(dir)?;
        for plot in PLOTS {
            let series: Vec<_> = self.0.iter().filter(|series| series.plot == plot).collect();
            if !series.is_empty() {
                draw(plot, &series, &dir.join(plot.file()))?;
            }
        }
        Ok(())
    }
}

const SIZE: (u32, u32) = (720, 380);
/// Beside the lines stand their names.
const NAMES_WIDTH: u32 = 130;
const NAME_HEIGHT: i32 = 17;
/// Told apart by those who see few colours, too.
const COLOURS: [RGBColor; 4] =
    [RGBColor(0, 114, 178), RGBColor(213, 94, 0), RGBColor(110, 110, 110), RGBColor(0, 158, 115)];
const GRID: RGBColor = RGBColor(222, 222, 222);
const INK: RGBColor = RGBColor(40, 40, 40);

fn draw(plot: Plot, series: &[&Series], path: &Path) -> Result<(), Failure> {
    let (across, up) = plot.axes();
    let points = || series.iter().flat_map(|series| &series.points);
    let mut columns: Vec<f64> = points().map(|(x, _)| *x).collect();
    columns.sort_by(f64::total_cmp);
    columns.dedup();
    let rows = ticks(up.scale, points().map(|(_, y)| *y));
    let (across_title, up_title) = (across.title, up.title);

    let root = SVGBackend::new(path, SIZE).into_drawing_area();
    root.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&root)
        .caption(plot.title(), ("sans-serif", 17, &INK))
        .margin(12)
        .margin_right(NAMES_WIDTH)
        .x_label_area_size(44)
        .y_label_area_size(62)
        .build_cartesian_2d(Ruled::new(across, columns, 0.03), Ruled::new(up, rows, 0.0))?;
    chart
        .configure_mesh()
        .bold_line_style(GRID)
        .light_line_style(TRANSPARENT)
        .axis_style(INK)
        .x_desc(across_title)
        .y_desc(up_title)
        .axis_desc_style(("sans-serif", 14, &INK))
        .label_style(("sans-serif", 13, &INK))
        .draw()?;
    let mut names = Vec::new();
    for (series, colour) in series.iter().zip(COLOURS.iter().cycle()) {
        let points = &series.points;
        chart.draw_series(LineSeries::new(points.iter().copied(), colour.stroke_width(2)))?;
        chart.draw_series(points.iter().map(|point| Circle::new(*point, 3, colour.filled())))?;
        let end = chart.backend_coord(&points[points.len() - 1]);
        names.push((end, series.name, colour));
    }
    for ((x, y), name, colour) in apart(names) {
        let style = TextStyle::from(("sans-serif", 13).into_font()).color(colour);
        let style = style.pos(Pos::new(HPos::Left, VPos::Center));
        root.draw(&Text::new(name, (x + 10, y), style))?;
    }
    root.present()?;
    Ok(())
}

type Name<'a> = ((i32, i32), &'static str, &'a RGBColor);

/// Moves names down that would lie on each other.
fn apart(mut names: Vec<Name<'_>>) -> Vec<Name<'_>> {
    names.sort_by_key(|((_, y), ..)| *y);
    for at in 1..names.len() {
        let above = names[at - 1].0.1;
        names[at].0.1 = names[at].0.1.max(above + NAME_HEIGHT);
    }
    names
}

/// Round numbers of which the first lies below all values and the last above.
fn ticks(scale: Scale, values: impl Iterator<Item = f64>) -> Vec<f64> {
    const ROUND: [f64; 3] = [1.0, 2.0, 5.0];
    let (least, most) = values.fold((f64::MAX, f64::MIN), |(least, most), it| (least.min(it), most.max(it)));
    match scale {
        Scale::Linear => {
            let rough = most / 5.0;
            let decade = 10_f64.powf(rough.log10().floor());
            let step =
                ROUND.into_iter().map(|it| it * decade).find(|it| *it >= rough).unwrap_or(10.0 * decade);
            (0..=10).map(|count| f64::from(count) * step).take_while(|tick| *tick < most + step).collect()
        }
        Scale::Logarithmic => {
            let decades = (-3..12).map(|exponent| 10_f64.powi(exponent));
            let all: Vec<f64> = decades.flat_map(|decade| ROUND.map(|it| it * decade)).collect();
            let from = all.iter().rposition(|tick| *tick <= least).unwrap_or(0);
            let upto = all.iter().position(|tick| *tick >= most).unwrap_or(all.len() - 1);
            all[from..=upto.max(from + 1)].to_vec()
        }
    }
}

fn whole(value: f64) -> String {
    format!("{value:.0}")
}

/// 1200 as 1.2k.
fn amount(value: f64) -> String {
    let (scaled, unit) = match value {
        1e6.. => (value / 1e6, "M"),
        1e3.. => (value / 1e3, "k"),
        _ => (value, ""),
    };
    // Ticks are products, and a little off.
    format!("{}{unit}", (scaled * 100.0).round() / 100.0)
}

/// 1024 as 1 KiB.
fn bytes(value: f64) -> String {
    const UNIT: f64 = 1024.0;
    match value {
        0.0..UNIT => format!("{value} B"),
        UNIT..1_048_576.0 => format!("{} KiB", (value / UNIT).round()),
        _ => format!("{} MiB", (value / UNIT / UNIT).round()),
    }
}
