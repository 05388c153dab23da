//! Metrics read back from their text: what `status`, the demo and the tests count with.

use std::collections::BTreeMap;

/// The series of one moment.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    series: Vec<Series>,
}

#[derive(Debug, Clone)]
struct Series {
    name: String,
    labels: BTreeMap<String, String>,
    value: f64,
}

impl Snapshot {
    /// Reads the Prometheus or OpenMetrics text format; lines it cannot read are left out.
    pub fn parse(text: &str) -> Snapshot {
        Snapshot { series: text.lines().filter(|line| !line.starts_with('#')).filter_map(Series::parse).collect() }
    }

    /// The sum of all series of that name that carry these labels; 0 where there is none.
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.matching(name, labels).map(|series| series.value).sum()
    }

    /// `sum`, as the whole number that a counter holds.
    pub fn count(&self, name: &str, labels: &[(&str, &str)]) -> u64 {
        self.sum(name, labels) as u64
    }

    /// The values that a label takes where its series is not zero, such as the state that holds.
    pub fn label_values(&self, name: &str, label: &str, labels: &[(&str, &str)]) -> Vec<String> {
        let found = self.matching(name, labels).filter(|series| series.value != 0.0);
        found.filter_map(|series| series.labels.get(label).cloned()).collect()
    }

    /// An upper bound of that quantile of a histogram (`name` without `_bucket`), in its unit; None where nothing was observed, infinite past the last bucket.
    pub fn quantile(&self, name: &str, labels: &[(&str, &str)], quantile: f64) -> Option<f64> {
        let mut buckets: BTreeMap<u64, f64> = BTreeMap::new();
        for series in self.matching(&format!("{name}_bucket"), labels) {
            let bound: f64 = series.labels.get("le").and_then(|le| if le == "+Inf" { Some(f64::INFINITY) } else { le.parse().ok() })?;
            // Bounds are positive, so their bits order as they do.
            *buckets.entry(bound.to_bits()).or_default() += series.value;
        }
        let observed = *buckets.last_key_value()?.1;
        if observed == 0.0 {
            return None;
        }
        buckets.iter().find(|(_, below)| **below >= observed * quantile).map(|(bound, _)| f64::from_bits(*bound))
    }

    fn matching<'a>(&'a self, name: &'a str, labels: &'a [(&str, &str)]) -> impl Iterator<Item = &'a Series> {
        self.series.iter().filter(move |series| {
            series.name == name && labels.iter().all(|(label, value)| series.labels.get(*label).is_some_and(|v| v == value))
        })
    }
}

impl Series {
    fn parse(line: &str) -> Option<Series> {
        let (name_and_labels, value) = line.rsplit_once(' ')?;
        let value = value.parse().ok()?;
        match name_and_labels.split_once('{') {
            None => Some(Series { name: name_and_labels.to_owned(), labels: BTreeMap::new(), value }),
            Some((name, labels)) => Some(Series { name: name.to_owned(), labels: parse_labels(labels.strip_suffix('}')?), value }),
        }
    }
}

/// `a="x",b="y\"z"`
fn parse_labels(text: &str) -> BTreeMap<String, String> {
    let mut labels = BTreeMap::new();
    let mut rest = text;
    while let Some((name, after)) = rest.split_once("=\"") {
        let mut value = String::new();
        let mut chars = after.char_indices();
        let mut end = after.len();
        while let Some((at, c)) = chars.next() {
            match c {
                '"' => {
                    end = at + 1;
                    break;
                }
                '\\' => match chars.next() {
                    Some((_, 'n')) => value.push('\n'),
                    Some((_, escaped)) => value.push(escaped),
                    None => break,
                },
                plain => value.push(plain),
            }
        }
        labels.insert(name.trim_start_matches(',').to_owned(), value);
        rest = after.get(end..).unwrap_or("");
    }
    labels
}
