//! Problems as pictures: the line, what is wrong underlined, the remedy below.

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet, renderer::DecorStyle};

use crate::{
    problem::{Problem, Severity},
    secret,
    source::Span,
};

/// Lines are cut to this many columns around what is underlined, so that pictures do not depend on a terminal.
const WIDTH: usize = 140;

pub(crate) fn render(problem: &Problem, color: bool) -> String {
    let level = match problem.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let title = match &problem.key {
        Some(key) => format!("{key}: {}", problem.message),
        None => problem.message.clone(),
    };
    // Control characters come from the text itself: a terminal must not obey them.
    let title: String = title
        .chars()
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect();
    let mut group = level
        .primary_title(title)
        .elements(std::iter::empty::<Snippet<'_, annotate_snippets::Annotation<'_>>>());
    if let Some(span) = &problem.span {
        group = group.element(picture(problem, span));
    }
    if let Some(help) = &problem.help {
        group = group.element(Level::HELP.message(help.clone()));
    }
    let renderer = if color { Renderer::styled() } else { Renderer::plain() };
    let mut shown = renderer
        .decor_style(DecorStyle::Ascii)
        .term_width(WIDTH)
        .render(&[group]);
    shown.push('\n');
    shown
}

fn picture<'a>(problem: &Problem, span: &'a Span) -> Snippet<'a, annotate_snippets::Annotation<'a>> {
    let text = secret::cover(&span.source, &problem.hidden);
    let (before, after) = text.split_at_checked(span.start).unwrap_or((&text, ""));
    // One line is handed over: the rest would cost time and could never be shown.
    let start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let end = span.start + after.find('\n').unwrap_or(after.len());
    let line = text
        .get(start..end)
        .unwrap_or_default()
        .trim_end_matches('\r')
        .chars()
        .map(without_c1)
        .collect::<String>();
    let number = before.matches('\n').count() + 1;
    let underlined = span.on_first_line();
    let (from, to) = (
        (underlined.start - start).min(line.len()),
        (underlined.end - start).min(line.len()),
    );
    let masked = if problem.is_syntax {
        secret::mask_line(&line)
    } else {
        None
    };
    let (line, range) = match masked {
        Some(masked) => {
            let name = masked.len() - masked.trim_start().len();
            (masked, name..name)
        }
        None => (line, from..to),
    };
    Snippet::source(line)
        .path(span.source.name())
        .line_start(number)
        .annotation(AnnotationKind::Primary.span(range))
}

/// Some terminals obey the control characters after ASCII, which the renderer lets through. An inverted question mark takes
/// as many bytes, so that what is underlined stays in its place.
fn without_c1(c: char) -> char {
    if ('\u{80}'..='\u{9f}').contains(&c) {
        '\u{bf}'
    } else {
        c
    }
}

#[cfg(test)]
mod tests {
    use crate::{Format, parse};

    #[test]
    fn no_control_character_of_a_text_reaches_a_terminal() {
        let text = "{\"a\u{9b}31m\u{1b}[0m\u{7f}\u{85}\": [,]}";
        let shown = parse("a.json", text, Format::Json).unwrap_err().to_string();
        assert!(shown.contains("a\u{bf}31m"), "{shown}");
        let control = |c: char| c.is_control() && c != '\n';
        assert!(!shown.contains(control), "{shown:?}");
    }
}
