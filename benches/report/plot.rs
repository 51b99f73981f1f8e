//! Plots as SVG: the same points give the same bytes.

use std::{io, ops::Range};

use plotters::{
    coord::{
        ranged1d::{KeyPointHint, NoDefaultFormatting, Ranged, ValueFormatter},
        types::RangedCoordf64,
    },
    drawing::DrawingAreaErrorKind,
    prelude::*,
};

/// A line with a name.
pub(super) struct Series {
    pub(super) name: String,
    pub(super) points: Vec<(f64, f64)>,
}

/// A plot: its words and its lines.
pub(super) struct Plot<'a> {
    pub(super) title: &'a str,
    pub(super) x: &'a str,
    pub(super) y: &'a str,
    /// True if the x axis is logarithmic, as for sizes of clusters.
    pub(super) logarithmic: bool,
    pub(super) series: &'a [Series],
}

/// Room beside the smallest and the largest size, in powers of ten.
const MARGIN: f64 = 0.05;

/// Colours that are told apart in every common kind of colour blindness (Okabe and Ito, "Color Universal Design", 2008).
const COLOURS: [RGBColor; 6] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
];

impl Plot<'_> {
    /// The plot as SVG.
    ///
    /// # Errors
    /// If the points cannot be drawn.
    pub(super) fn svg(&self) -> Result<String, String> {
        let mut svg = String::new();
        self.draw(&mut svg).map_err(|error| format!("{}: {error}", self.title))?;
        svg.push('\n');
        Ok(svg)
    }

    fn draw(&self, svg: &mut String) -> Result<(), DrawingAreaErrorKind<io::Error>> {
        let place = |x: f64| if self.logarithmic { x.log10() } else { x };
        let points = || self.series.iter().flat_map(|series| &series.points);
        let (low, high) = points()
            .fold((f64::MAX, 0.0_f64), |(low, high), (x, _)| (low.min(place(*x)), high.max(place(*x))));
        let (low, high) = if self.logarithmic { (low - MARGIN, high + MARGIN) } else { (0.0, high) };
        let top = points().map(|(_, y)| *y).fold(0.0, f64::max);
        let area = SVGBackend::with_string(svg, (720, 360)).into_drawing_area();
        area.fill(&WHITE)?;
        // The legend stands to the right of all lines.
        let axis = Axis {
            range: low..high + (high - low) * 0.35,
            sizes: if self.logarithmic { points().map(|(x, _)| place(*x)).collect() } else { vec![] },
        };
        let mut chart = ChartBuilder::on(&area)
            .caption(self.title, ("sans-serif", 18))
            .margin(12)
            .x_label_area_size(40)
            .y_label_area_size(64)
            .build_cartesian_2d(axis, 0.0..top * 1.05)?;
        chart.configure_mesh().x_desc(self.x).y_desc(self.y).x_labels(16).max_light_lines(0).draw()?;
        for (series, colour) in self.series.iter().zip(COLOURS.iter().cycle()) {
            let placed: Vec<_> = series.points.iter().map(|(x, y)| (place(*x), *y)).collect();
            let dots = placed.iter().map(|point| Circle::new(*point, 3, colour.filled()));
            if self.logarithmic {
                chart.draw_series(dots)?;
            }
            chart
                .draw_series(LineSeries::new(placed, colour.stroke_width(2)))?
                .label(series.name.as_str())
                .legend(move |(x, y)| Rectangle::new([(x, y - 4), (x + 12, y + 4)], colour.filled()));
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::MiddleRight)
            .background_style(WHITE)
            .border_style(BLACK)
            .draw()?;
        area.present()?;
        Ok(())
    }
}

/// The x axis: seconds, or sizes by their logarithm, of which exactly the measured ones are marked.
struct Axis {
    range: Range<f64>,
    sizes: Vec<f64>,
}

impl Ranged for Axis {
    type FormatOption = NoDefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, limit: (i32, i32)) -> i32 {
        RangedCoordf64::from(self.range.clone()).map(value, limit)
    }

    fn key_points<Hint: KeyPointHint>(&self, hint: Hint) -> Vec<f64> {
        if self.sizes.is_empty() {
            return RangedCoordf64::from(self.range.clone()).key_points(hint);
        }
        let mut sizes = self.sizes.clone();
        sizes.sort_by(f64::total_cmp);
        sizes.dedup();
        sizes
    }

    fn range(&self) -> Range<f64> {
        self.range.clone()
    }
}

impl ValueFormatter<f64> for Axis {
    fn format(value: &f64) -> String {
        format!("{value:.1}")
    }

    fn format_ext(&self, value: &f64) -> String {
        if self.sizes.is_empty() { Self::format(value) } else { format!("{:.0}", 10_f64.powf(*value)) }
    }
}

/// The share of the values that are at most x, as steps.
pub(super) fn shares(mut values: Vec<f64>) -> Vec<(f64, f64)> {
    values.sort_by(f64::total_cmp);
    let count = values.len() as f64;
    let mut below = 0.0;
    let mut steps = vec![];
    for value in values {
        steps.push((value, below / count));
        below += 1.0;
        steps.push((value, below / count));
    }
    steps
}
