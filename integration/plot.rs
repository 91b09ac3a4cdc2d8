//! Line charts of what benches measure, as SVG. Used with `#[path]`.

use std::path::Path;

use plotters::prelude::*;

/// One line of a chart, by rising x.
pub(crate) struct Line<'a> {
    /// What it is called.
    pub(crate) name: &'a str,
    /// What was measured.
    pub(crate) points: Vec<(f64, f64)>,
    /// Where it is expected to lead; drawn dashed.
    pub(crate) to: Option<(f64, f64)>,
}

/// A height that a line keeps below, or above, up to this x.
pub(crate) struct Bar<'a> {
    /// What it is called.
    pub(crate) name: &'a str,
    /// Its height.
    pub(crate) y: f64,
    /// Up to where it is promised.
    pub(crate) until: f64,
}

/// What the axes are called, and the chart.
pub(crate) struct Titles<'a> {
    /// The chart.
    pub(crate) chart: &'a str,
    /// What grows.
    pub(crate) x: &'a str,
    /// What follows, with its unit.
    pub(crate) y: &'a str,
}

/// Writes a chart, both axes logarithmic: what grows with its cause is a line at 45 degrees.
pub(crate) fn chart(
    file: &Path,
    titles: &Titles<'_>,
    lines: &[Line<'_>],
    bars: &[Bar<'_>],
) -> Result<(), Box<dyn std::error::Error>> {
    let all = || lines.iter().flat_map(|line| line.points.iter().copied().chain(line.to));
    let range = |values: &mut dyn Iterator<Item = f64>| {
        let (low, high) = values.fold((f64::MAX, f64::MIN_POSITIVE), |(low, high), v| (low.min(v), high.max(v)));
        low / 1.5..high * 2.0
    };
    let x = range(&mut all().map(|p| p.0));
    let y = range(&mut all().map(|p| p.1).chain(bars.iter().map(|bar| bar.y)));
    let area = SVGBackend::new(file, (720, 400)).into_drawing_area();
    area.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&area)
        .caption(titles.chart, ("sans-serif", 16))
        .margin(12)
        .x_label_area_size(40)
        .y_label_area_size(72)
        .build_cartesian_2d(x.clone().log_scale(), y.log_scale())?;
    let number = |value: &f64| if *value < 10.0 { format!("{value}") } else { grouped(*value) };
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .x_labels(5)
        .x_desc(titles.x)
        .y_desc(titles.y)
        .x_label_formatter(&number)
        .y_label_formatter(&number)
        .draw()?;
    for bar in bars {
        let ends = [(x.start, bar.y), (bar.until, bar.y)];
        chart
            .draw_series(LineSeries::new(ends, RGBColor(120, 120, 120).stroke_width(3)))?
            .label(bar.name)
            .legend(|(x, y)| PathElement::new([(x, y), (x + 16, y)], RGBColor(120, 120, 120).stroke_width(3)));
    }
    for (n, line) in lines.iter().enumerate() {
        let colour = Palette99::pick(n).to_rgba();
        chart
            .draw_series(LineSeries::new(line.points.iter().copied(), colour.stroke_width(2)).point_size(3))?
            .label(line.name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], colour.stroke_width(2)));
        if let (Some(last), Some(to)) = (line.points.last(), line.to) {
            chart.draw_series(DashedLineSeries::new([*last, to], 5, 5, colour.stroke_width(2)))?;
        }
    }
    // into the corner that no line comes through
    let falls = lines.iter().any(|line| line.points.first().map(|p| p.1) > line.points.last().map(|p| 2.0 * p.1));
    chart
        .configure_series_labels()
        .position(if falls { SeriesLabelPosition::LowerLeft } else { SeriesLabelPosition::LowerRight })
        .background_style(WHITE.mix(0.8))
        .border_style(BLACK.mix(0.3))
        .draw()?;
    area.present()?;
    Ok(())
}

/// 12,000 for twelve thousand.
fn grouped(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (n, digit) in digits.chars().enumerate() {
        if n > 0 && (digits.len() - n).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
