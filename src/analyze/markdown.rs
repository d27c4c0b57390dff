//! Markdown tables that are aligned for people who read them as text.

/// A table whose first column is aligned left and whose others, figures, are aligned right.
/// With `exact_header` the header keeps one space around each name, for those who search for it, however wide its column is.
pub fn table(header: &[&str], rows: &[Vec<String>], exact_header: bool) -> String {
    let width = |text: &str| text.chars().count();
    let widths: Vec<usize> = (0..header.len())
        .map(|k| rows.iter().map(|row| width(&row[k])).chain([width(header[k])]).max().unwrap_or(0))
        .collect();
    let line = |cells: &[&str]| -> String {
        let cells = cells.iter().zip(&widths).enumerate();
        let padded: Vec<String> = cells
            .map(|(k, (cell, &width))| if k == 0 { format!("{cell:<width$}") } else { format!("{cell:>width$}") })
            .collect();
        format!("| {} |\n", padded.join(" | "))
    };
    let rule = |k: usize| if k == 0 { "-".repeat(widths[k]) } else { format!("{}:", "-".repeat(widths[k] - 1)) };
    let mut text = if exact_header { format!("| {} |\n", header.join(" | ")) } else { line(header) };
    let rules: Vec<String> = (0..header.len()).map(rule).collect();
    text.push_str(&line(&rules.iter().map(String::as_str).collect::<Vec<_>>()));
    for row in rows {
        text.push_str(&line(&row.iter().map(String::as_str).collect::<Vec<_>>()));
    }
    text
}

/// A count with a comma between thousands.
pub fn count(n: u64) -> String {
    let digits = n.to_string();
    let first = digits.len() % 3;
    let groups =
        digits.as_bytes()[first..].chunks(3).map(|group| group.iter().map(|&digit| char::from(digit)).collect());
    let head = (first > 0).then(|| digits[..first].to_owned());
    head.into_iter().chain(groups).collect::<Vec<String>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [vec!["D2".to_owned(), "1.00†".to_owned()], vec!["D3".to_owned(), "12345.67".to_owned()]];
        let aligned = "| Metric |      Max |\n| ------ | -------: |\n| D2     |    1.00† |\n| D3     | 12345.67 |\n";
        assert_eq!(table(&["Metric", "Max"], &rows, false), aligned);
        assert!(table(&["Metric", "Max"], &rows, true).starts_with("| Metric | Max |\n| ------ | -------: |\n"));
    }

    #[test]
    fn counts_have_commas() {
        assert_eq!([0, 999, 1000, 123_456, 1_234_567].map(count), ["0", "999", "1,000", "123,456", "1,234,567"]);
    }
}
