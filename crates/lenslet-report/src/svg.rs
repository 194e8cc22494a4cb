//! A drawing as SVG 1.1: one element per item, texts as texts, bitmaps as PNG data.

use std::fmt::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::drawing::{Anchor, Drawing, Item, Style};
use crate::font::FAMILIES;
use crate::palette::Colour;
use crate::raster;

pub(crate) fn write(drawing: &Drawing) -> String {
    let (width, height) = (number(drawing.width), number(drawing.height));
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" xmlns:xlink=\"http://www.w3.org/1999/xlink\" width=\"{width}\" \
         height=\"{height}\" viewBox=\"0 0 {width} {height}\" font-family=\"{FAMILIES}\">\n\
         <rect width=\"{width}\" height=\"{height}\" fill=\"#ffffff\"/>\n"
    );
    for item in &drawing.items {
        // Writing to a string cannot fail.
        let _ = element(&mut svg, item);
    }
    svg + "</svg>\n"
}

fn element(svg: &mut String, item: &Item) -> std::fmt::Result {
    match item {
        Item::Rect { x, y, width, height, fill } => writeln!(
            svg,
            "<rect x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" fill=\"{}\"/>",
            number(*x),
            number(*y),
            number(*width),
            number(*height),
            hex(*fill)
        ),
        Item::Line { points, colour, width, dashed } => {
            let points: Vec<String> = points.iter().map(|[x, y]| format!("{},{}", number(*x), number(*y))).collect();
            let dashes = if *dashed { " stroke-dasharray=\"4 3\"" } else { "" };
            writeln!(
                svg,
                "<polyline points=\"{}\" fill=\"none\" stroke=\"{}\" stroke-width=\"{}\" stroke-linejoin=\"round\"{dashes}/>",
                points.join(" "),
                hex(*colour),
                number(*width)
            )
        }
        Item::Dot { x, y, radius, fill } => writeln!(
            svg,
            "<circle cx=\"{}\" cy=\"{}\" r=\"{}\" fill=\"{}\" stroke=\"#ffffff\" stroke-width=\"1\"/>",
            number(*x),
            number(*y),
            number(*radius),
            hex(*fill)
        ),
        Item::Text { x, y, text, style } => words(svg, [*x, *y], text, style),
        // Enlarged here, since not every viewer knows how to leave pixels squares.
        Item::Bitmap { x, y, zoom, bitmap } => {
            let bitmap = bitmap.enlarged(*zoom);
            let png = raster::encode(bitmap.width, bitmap.height, &bitmap.rgb).map_err(|_| std::fmt::Error)?;
            writeln!(
                svg,
                "<image x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" preserveAspectRatio=\"none\" \
                 style=\"image-rendering:pixelated\" xlink:href=\"data:image/png;base64,{}\"/>",
                number(*x),
                number(*y),
                bitmap.width,
                bitmap.height,
                STANDARD.encode(png)
            )
        }
    }
}

fn words(svg: &mut String, [x, y]: [f32; 2], text: &str, style: &Style) -> std::fmt::Result {
    let (x, y) = (number(x), number(y));
    write!(svg, "<text x=\"{x}\" y=\"{y}\" font-size=\"{}\" fill=\"{}\"", number(style.size), hex(style.colour))?;
    match style.anchor {
        Anchor::Start => {}
        Anchor::Middle => svg.push_str(" text-anchor=\"middle\""),
        Anchor::End => svg.push_str(" text-anchor=\"end\""),
    }
    if style.turned != 0.0 {
        write!(svg, " transform=\"rotate({} {x} {y})\"", number(style.turned))?;
    }
    writeln!(svg, ">{}</text>", escaped(text))
}

/// Two decimals at most: a hundredth of a pixel is not seen.
fn number(value: f32) -> String {
    let text = format!("{value:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn hex([red, green, blue]: Colour) -> String {
    format!("#{red:02x}{green:02x}{blue:02x}")
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
