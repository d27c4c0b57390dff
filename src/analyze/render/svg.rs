//! A chart's SVG made fit to stand inside a page: identifiers that no other chart has, a size that follows the page, and
//! nothing that runs or loads. The file is read from disk, so it is not taken on trust.

/// Elements that a chart may consist of. None runs, none styles the page around it.
const ELEMENTS: [&str; 24] = [
    "circle",
    "clipPath",
    "defs",
    "desc",
    "ellipse",
    "g",
    "image",
    "line",
    "linearGradient",
    "marker",
    "mask",
    "path",
    "pattern",
    "polygon",
    "polyline",
    "radialGradient",
    "rect",
    "stop",
    "svg",
    "symbol",
    "text",
    "title",
    "tspan",
    "use",
];

/// The `<svg>` element of a chart, with `prefix` before each identifier and named by the page's element `label`;
/// in words what is wrong with it otherwise.
pub fn inline(chart: &str, prefix: &str, label: &str) -> Result<String, String> {
    let mut svg = String::with_capacity(chart.len() + 256);
    let mut open: Vec<&str> = Vec::new();
    let mut rest = chart.trim_start_matches('\u{feff}');
    let mut complete = false;
    while let Some(at) = rest.find('<') {
        let (text, tag) = rest.split_at(at);
        let outside = open.is_empty();
        if outside && !text.trim().is_empty() || outside && complete && !tag.starts_with("<!--") {
            return Err("more than one <svg> element".to_owned());
        }
        svg += if outside { "" } else { text };
        rest = if let Some(comment) = tag.strip_prefix("<!--") {
            after(comment, "-->")?
        } else if tag.starts_with("<?") {
            after(tag, "?>")?
        } else if tag.starts_with("<!") {
            let rest = after(tag, ">")?;
            if tag[..tag.len() - rest.len()].contains('[') {
                return Err("entities or CDATA".to_owned());
            }
            rest
        } else if let Some(name) = tag.strip_prefix("</") {
            let (name, rest) = name.split_once('>').ok_or("it ends within a tag")?;
            if open.pop() != Some(name.trim_end()) {
                return Err(format!("</{name}> closes nothing"));
            }
            svg += &format!("</{}>", name.trim_end());
            complete = open.is_empty();
            rest
        } else {
            let tag = Tag::read(&tag[1..])?;
            if outside && tag.name != "svg" {
                return Err(format!("<{}> where <svg> was expected", tag.name));
            }
            svg += &tag.written(prefix, outside.then_some(label))?;
            if !tag.closed {
                open.push(tag.name);
            }
            complete = open.is_empty();
            tag.rest
        };
    }
    if complete && rest.trim().is_empty() { Ok(svg) } else { Err("it is not complete".to_owned()) }
}

fn after<'a>(text: &'a str, end: &str) -> Result<&'a str, String> {
    text.split_once(end).map(|(_, rest)| rest).ok_or_else(|| format!("no `{end}` follows"))
}

struct Tag<'a> {
    name: &'a str,
    attributes: Vec<(&'a str, &'a str)>,
    closed: bool,
    rest: &'a str,
}

impl<'a> Tag<'a> {
    /// A tag after its `<`.
    fn read(text: &'a str) -> Result<Self, String> {
        let end = text.find(|c: char| c.is_whitespace() || "/>".contains(c)).ok_or("it ends within a tag")?;
        let (name, mut rest) = text.split_at(end);
        if !ELEMENTS.contains(&name) {
            return Err(format!("<{name}> has no place in a chart"));
        }
        let mut attributes = Vec::new();
        loop {
            rest = rest.trim_start();
            for (end, closed) in [(">", false), ("/>", true)] {
                if let Some(rest) = rest.strip_prefix(end) {
                    return Ok(Self { name, attributes, closed, rest });
                }
            }
            let (attribute, value) = rest.split_once('=').ok_or("it ends within a tag")?;
            let attribute = attribute.trim_end();
            let quote = value.trim_start().chars().next().filter(|quote| "\"'".contains(*quote));
            let (quote, value) = quote.zip(value.trim_start().get(1..)).ok_or("a value without quotes")?;
            let (value, after) = value.split_once(quote).ok_or("it ends within a value")?;
            if attribute.is_empty() || !attribute.chars().all(|c| c.is_ascii_alphanumeric() || "-_:.".contains(c)) {
                return Err(format!("`{attribute}` is no attribute"));
            }
            attributes.push((attribute, value));
            rest = after;
        }
    }

    /// The tag as it stands in the page; `label` for the outermost.
    fn written(&self, prefix: &str, label: Option<&str>) -> Result<String, String> {
        let mut tag = format!("<{}", self.name);
        let given = |name: &str| self.attributes.iter().find(|(given, _)| *given == name).map(|&(_, value)| value);
        if let Some(label) = label {
            tag += &format!(" role=\"img\" aria-labelledby=\"{label}\"");
            if let (None, Some(width), Some(height)) = (given("viewBox"), given("width"), given("height")) {
                let number = |length: &str| length.trim_end_matches("px").parse::<f64>();
                let (Ok(width), Ok(height)) = (number(width), number(height)) else {
                    return Err("neither a viewBox nor a size in pixels".to_owned());
                };
                tag += &format!(" viewBox=\"0 0 {width} {height}\"");
            }
        }
        for &(name, value) in &self.attributes {
            // The page sets the size and the name of the outermost.
            if label.is_some() && ["width", "height", "id", "role", "aria-labelledby", "style", "class"].contains(&name)
            {
                continue;
            }
            let value = attribute(name, value, prefix)?.replace('"', "&quot;").replace('<', "&lt;");
            tag += &format!(" {name}=\"{value}\"");
        }
        Ok(tag + if self.closed { "/>" } else { ">" })
    }
}

/// An attribute's value in the page; an error for one that runs or loads.
fn attribute(name: &str, value: &str, prefix: &str) -> Result<String, String> {
    let refused = || Err(format!("{name}=\"{value}\" has no place in a chart"));
    let lower = value.to_ascii_lowercase();
    if name.to_ascii_lowercase().starts_with("on") || lower.contains("javascript:") || lower.contains("@import") {
        return refused();
    }
    match name {
        "id" => Ok(format!("{prefix}{value}")),
        "href" | "xlink:href" => match value.strip_prefix('#') {
            Some(id) => Ok(format!("#{prefix}{id}")),
            None if value.starts_with("data:image/png;base64,") => Ok(value.to_owned()),
            None => refused(),
        },
        _ => {
            let own = value.replace("url(#", &format!("url(#{prefix}"));
            if lower.matches("url(").count() == value.matches("url(#").count() { Ok(own) } else { refused() }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const CHART: &str = "<?xml version=\"1.0\"?>\n<!DOCTYPE svg>\n<!-- made by hand -->\n\
        <svg width=\"640\" height=\"400\" xmlns=\"http://www.w3.org/2000/svg\">\n<defs><clipPath id=\"a\"><rect x='0'/></clipPath></defs>\
        <g clip-path=\"url(#a)\"><use xlink:href=\"#a\"/><text x=\"1\">p99 &lt; 100 ms</text></g></svg>\n";

    #[test]
    fn a_chart_becomes_part_of_the_page() {
        let expected = "<svg role=\"img\" aria-labelledby=\"caption\" viewBox=\"0 0 640 400\" xmlns=\"http://www.w3.org/2000/svg\">\n\
            <defs><clipPath id=\"c1-a\"><rect x=\"0\"/></clipPath></defs>\
            <g clip-path=\"url(#c1-a)\"><use xlink:href=\"#c1-a\"/><text x=\"1\">p99 &lt; 100 ms</text></g></svg>";
        assert_eq!(inline(CHART, "c1-", "caption").unwrap(), expected);
    }

    #[test]
    fn what_runs_loads_or_breaks_out_is_refused() {
        for inside in [
            "<script>alert(1)</script>",
            "<style>*{color:red}</style>",
            "<foreignObject/>",
            "<g onload=\"alert(1)\"/>",
            "<use href=\"https://example.org/x.svg#a\"/>",
            "<rect fill=\"url(https://example.org/x)\"/>",
            "<rect fill=url(#a) />",
            "<image href=\"data:image/svg+xml,x\"/>",
            "</svg><svg>",
            "</g>",
            "<g>",
            "<g",
            "<![CDATA[x]]>",
        ] {
            assert!(inline(&format!("<svg>{inside}</svg>"), "p", "l").is_err(), "{inside}");
        }
        assert!(inline("", "p", "l").is_err() && inline("<g></g>", "p", "l").is_err());
        assert!(inline("<svg></svg>tail", "p", "l").is_err() && inline("<svg></svg><svg/>", "p", "l").is_err());
    }

    proptest! {
        #[test]
        fn no_chart_makes_it_panic_and_none_brings_a_script(cut in 0..CHART.len(), noise in "[<>/!?a-z=\"'&#é -]{0,24}") {
            let at = (0..=cut).rev().find(|&at| CHART.is_char_boundary(at)).unwrap();
            let chart = format!("{}{noise}{}", &CHART[..at], &CHART[at..]);
            if let Ok(svg) = inline(&chart, "p", "l") {
                prop_assert!(svg.starts_with("<svg ") && svg.ends_with('>') && !svg.contains("<!"));
            }
        }
    }
}
