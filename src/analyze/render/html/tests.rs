//! What a page must not let through, and a page like a real one to look at:
//! `PAGE=/tmp/page.html cargo test --workspace --lib -- --ignored a_page_to_look_at`.

use super::*;
use crate::document::Cell;

/// A chart with a clip path, so that two of them would disturb each other.
const CHART: &str = r##"<?xml version="1.0" encoding="utf-8"?>
<svg width="960" height="420" viewBox="0 0 960 420" xmlns="http://www.w3.org/2000/svg">
<defs><clipPath id="plot"><rect x="70" y="30" width="860" height="330"/></clipPath></defs>
<rect width="960" height="420" fill="#FFFFFF"/>
<text x="480" y="20" text-anchor="middle" font-family="sans-serif" font-size="16" fill="#000000">scheduled → stored, ms (local, n = 1,200,000)</text>
<path d="M70 30 V360 H930" fill="none" stroke="#000000"/>
<path clip-path="url(#plot)" d="M70 350 L284 342 L498 320 L712 240 L926 40" fill="none" stroke="#0072B2" stroke-width="3"/>
<line x1="70" y1="160" x2="930" y2="160" stroke="#D55E00" stroke-dasharray="6 4"/>
<text x="924" y="152" text-anchor="end" font-family="sans-serif" font-size="14" fill="#D55E00">SLO 100 ms</text>
<text x="70" y="385" font-family="sans-serif" font-size="14">p50</text><text x="498" y="385" font-family="sans-serif" font-size="14">p99.9</text><text x="880" y="385" font-family="sans-serif" font-size="14">p99.999</text>
</svg>
"##;

fn charts(stem: &str) -> tempfile::TempDir {
    let home = tempfile::tempdir().unwrap();
    fs::write(home.path().join(format!("{stem}.svg")), CHART).unwrap();
    home
}

fn chart(stem: &str) -> Block {
    Block::Chart { stem: stem.to_owned(), caption: "Latency by percentile, ms; local, n = 1,200,000.".to_owned() }
}

#[test]
fn names_stay_names() {
    let mut document = super::super::tests::hostile();
    for block in &mut document.blocks {
        if let Block::Chart { stem, .. } = block {
            *stem = "a".to_owned();
        }
    }
    let page = html(&document, "<script>\"", charts("a").path()).unwrap();
    assert!(!page.contains("<script") && page.contains("&lt;script&gt;alert(1)&lt;/script&gt;"), "{page}");
    assert!(!page.contains("<!-- ") && !page.contains('\u{1b}'), "{page}");
    assert!(page.contains("<code>x</code> <strong>y</strong> &quot;&amp;&#39;"), "prose alone has markup: {page}");
    assert_eq!(page.matches("<strong>").count(), 1);
}

#[test]
fn each_chart_has_identifiers_of_its_own() {
    let document = Document { blocks: vec![chart("a"), chart("a")] };
    let page = html(&document, "t", charts("a").path()).unwrap();
    for id in ["chart0-plot", "chart1-plot", "chart0", "chart1"] {
        assert_eq!(page.matches(&format!(" id=\"{id}\"")).count(), 1, "{id}");
    }
    assert!(!page.contains("<?xml") && page.contains("url(#chart1-plot)"));
    assert_eq!(page.matches("http").count(), 2 + 1, "the name of SVG in each chart, and http-equiv: nothing is loaded");
}

#[test]
fn runs_are_linked_by_distinct_anchors() {
    let heading = |level, title: &str| Block::Heading(level, title.to_owned());
    let blocks =
        vec![heading(1, "All"), heading(2, "run 1"), heading(3, "Causes"), heading(2, "run-1"), heading(3, "Causes")];
    let page = html(&Document { blocks }, "t", Path::new("")).unwrap();
    assert!(
        page.contains("<a href=\"#s-run-1\">run 1</a>") && page.contains("<a href=\"#s-run-1-2\">run-1</a>"),
        "{page}"
    );
    assert!(page.contains("<h3 id=\"s-Causes-2\">"));
    assert_eq!(page.matches("<h1").count(), 1);
    assert!(page.find("<nav") > page.find("<h1") && page.find("<nav") < page.find("<h2 id"), "{page}");
    let untitled = html(&Document::default(), "all & sundry", Path::new("")).unwrap();
    assert!(untitled.contains("<h1>all &amp; sundry</h1>") && !untitled.contains("<nav"));
}

#[test]
fn a_chart_that_is_missing_or_none_is_an_error_with_its_path() {
    let home = charts("a");
    fs::write(home.path().join("b.svg"), "<svg><script/></svg>").unwrap();
    let said = |stem: &str| html(&Document { blocks: vec![chart(stem)] }, "t", home.path()).unwrap_err().to_string();
    assert!(said("none").contains("none.svg: the chart cannot be read"), "{}", said("none"));
    assert!(said("b").contains("b.svg") && said("b").contains("<script> has no place in a chart"), "{}", said("b"));
}

#[test]
fn figures_are_aligned_and_the_first_column_names_rows() {
    let rows = vec![vec!["D2".into(), Cell { text: "1.00†".to_owned(), number: Some(1.0) }, "p0 → w1".into()]];
    let header = ["Metric", "Max", "Worst"].map(str::to_owned).to_vec();
    let text = of_table(&Table { name: "d2-d5", header, rows, exact_header: true });
    assert!(
        text.contains("<th scope=\"row\">D2</th><td class=\"n\">1.00<span class=\"few\">†</span></td><td>p0 → w1</td>"),
        "{text}"
    );
}

fn run(name: &str, invalid: bool) -> Vec<Block> {
    let heading = |level, title: &str| Block::Heading(level, title.to_owned());
    let prose = |text: &str| Block::Prose(text.to_owned());
    let table = |name, exact_header, lines: &[&str]| {
        let cells = |line: &&str| line.split('|').map(|cell| Cell::from(cell.trim())).collect::<Vec<_>>();
        let header = lines[0].split('|').map(|name| name.trim().to_owned()).collect();
        Block::Table(Table { name, header, rows: lines[1..].iter().map(cells).collect(), exact_header })
    };
    let mut blocks = vec![
        heading(2, name),
        prose(
            "results/goal-20261125T072845Z.csv: 1,200,000 rows, variant `goal`; substrate `local` (three brokers and one Redis as processes of one machine).",
        ),
        prose(
            "Verdict on scheduled → stored (99.99 % of planned events under 100 ms): **SLO missed; 312 of 1,200,000 over**. \
               What dominates the tail: of the events past p99.9, 93 % of the latency is spent between `before_publish_us` and \
               `after_consume_us`, in 3 stalls that share broker 2; each coincides with a hiccup of the machine.",
        ),
        Block::Lines(
            "planned 1,200,000 = sent 1,200,000 + unsent 0\nsent 1,200,000 = acked 1,199,990 + failed 0 + maybe 10\n\
                      apart: duplicates 3, foreign 0, warm 60,000, zero 0, negative 0, late 12"
                .to_owned(),
        ),
        heading(3, "Percentiles"),
        table(
            "percentiles",
            false,
            &[
                "Latency (ms)|n|p50|p90|p99|p99.9|p99.99|p99.999|max|≥ 100 ms",
                "scheduled → stored|1,200,000|4.21|6.02|14.88|61.20|143.77|212.01|> drain|312 of 1,200,000 planned",
                "scheduled → consumed|1,200,000|3.60|5.31|12.02|55.81|139.09|208.44|> drain|301 of 1,200,000 planned",
                "before_publish → consumed (as published)|1,200,000|3.11|4.80|11.41|55.03|138.60|207.90|> drain|298 of 1,200,000 planned",
            ],
        ),
        prose("† fewer than 10 samples lie past it. `> drain`: the event had not arrived when the run ended."),
        chart("percentiles"),
        heading(3, "D2–D5"),
        table(
            "d2-d5",
            true,
            &[
                "Metric|Median|Mean|StdDev|Max|Min",
                "D2|8.31|8.30|0.12|8.92|7.88",
                "D3|52.40|51.92|1.75|60.11|44.02",
                "D4|135.49†|134.80†|6.90†|151.35†|120.00†",
                "D5|204.79†|203.11†|12.40†|233.02†|171.52†",
            ],
        ),
        heading(3, "Stall episodes"),
        table(
            "episodes",
            false,
            &[
                "Start|Length, ms|Events|Shared|Beside it",
                "00:03:12.400|182|214|broker 2, partitions 3, 9, 15|hiccup of 171 ms; steal 12 %",
                "00:07:41.031|121|66|worker w3|Redis: fork for a rewrite",
            ],
        ),
        chart("percentiles"),
    ];
    if invalid {
        blocks.insert(2, prose("**INVALID**: consumed is 1,199,990, but acked_consumed + maybe_consumed is 1,199,989. Nothing below may be quoted."));
    }
    blocks
}

#[test]
#[ignore = "writes a page to look at, where PAGE says"]
fn a_page_to_look_at() {
    let mut blocks = vec![
        Block::Heading(1, "Does 99.99 % of events arrive in under 100 ms?".to_owned()),
        Block::Prose("3 runs, read from `results/`. The run is the unit of comparison.".to_owned()),
    ];
    blocks.extend(run("goal-20261125T072845Z", false));
    blocks.extend(run("laptop-20261125T064322Z", true));
    blocks.extend(run("<b>a-name-that-is-very-long-and-has-no-place-to-break-it-0123456789-0123456789</b>", false));
    let document = Document { blocks };
    let page = html(&document, "Shasta", charts("percentiles").path()).unwrap();
    let path = std::env::var_os("PAGE").map_or_else(|| std::env::temp_dir().join("page.html"), PathBuf::from);
    fs::write(path, page).unwrap();
    let terminal = super::super::text::Terminal { bold: true, columns: Some(100) };
    println!("{}\n{}", super::super::text::of(&document, terminal), super::super::markdown::of(&document, "charts"));
}
