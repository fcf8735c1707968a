//! The manual's status view (§5.3.1) with its three zones, drawn once for the terminal, the final page and tests.

use ratatui::buffer::Buffer;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Paragraph, Widget, Wrap};

/// What the page shows, in words and numbers with their units.
#[derive(Clone, Debug, Default, serde::Serialize)]
pub struct Page {
    /// Above everything.
    pub title: String,
    /// Zone 1: the summary, label and value.
    pub summary: Vec<(&'static str, String)>,
    /// Zone 2: the cells.
    pub cells: Vec<Cell>,
    /// Zone 3: the sense wires, wire 0 at B−.
    pub wires: Vec<Wire>,
    /// Active alarms: what keeps what open and why; worst first.
    pub alarms: Vec<AlarmLine>,
    /// Below everything: keys and messages.
    pub footer: Vec<String>,
}

/// One cell of zone 2.
#[derive(Clone, Debug, Default, serde::Serialize)]
pub struct Cell {
    /// The voltage with its unit.
    pub voltage: String,
    /// What is special about it.
    pub mark: Mark,
    /// The balancer is working on it.
    pub balancing: bool,
}

/// What is special about a cell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Mark {
    /// Nothing.
    #[default]
    None,
    /// It is the highest: blue.
    Highest,
    /// It is the lowest: red.
    Lowest,
}

/// One wire of zone 3.
#[derive(Clone, Debug, Default, serde::Serialize)]
pub struct Wire {
    /// The resistance with its unit.
    pub resistance: String,
    /// Above its limit: yellow.
    pub flagged: bool,
}

/// One active alarm.
#[derive(Clone, Debug, Default, serde::Serialize)]
pub struct AlarmLine {
    /// The explanation.
    pub text: String,
    /// It only warns.
    pub warning: bool,
}

const HIGHEST: Style = Style::new().fg(Color::LightBlue).add_modifier(Modifier::BOLD);
const LOWEST: Style = Style::new().fg(Color::LightRed).add_modifier(Modifier::BOLD);
const FLAGGED: Style = Style::new().fg(Color::Yellow).add_modifier(Modifier::BOLD);
const LABEL: Style = Style::new().fg(Color::Gray);
const ON: Style = Style::new().fg(Color::LightGreen).add_modifier(Modifier::BOLD);
const OFF: Style = Style::new().fg(Color::LightRed).add_modifier(Modifier::BOLD);
/// Columns of each zone.
const SUMMARY_COLUMNS: usize = 3;
const CELL_COLUMNS: usize = 8;

/// How wide a page is when it is printed.
pub const PRINTED_WIDTH: u16 = 112;

impl Page {
    /// How many lines it needs at a width.
    #[must_use]
    pub fn height(&self, width: u16) -> u16 {
        let [summary, cells, wires, alarms, footer] = self.heights(width);
        summary + cells + wires + alarms + footer
    }

    fn heights(&self, width: u16) -> [u16; 5] {
        let rows = |count: usize, columns: usize| u16::try_from(count.div_ceil(columns)).unwrap_or(u16::MAX);
        let inner = usize::from(width.saturating_sub(2).max(1));
        let alarm_lines: usize = self.alarms.iter().map(|alarm| (alarm.text.chars().count() + 2).div_ceil(inner)).sum();
        let footer_lines: usize = self.footer.iter().map(|line| line.chars().count().div_ceil(inner + 2).max(1)).sum();
        [
            rows(self.summary.len(), SUMMARY_COLUMNS) + 2,
            rows(self.cells.len(), CELL_COLUMNS) + 2,
            rows(self.wires.len(), CELL_COLUMNS) + 2,
            rows(alarm_lines.max(1), 1) + 2,
            rows(footer_lines, 1),
        ]
    }

    /// The page as text, with or without colours for a terminal.
    #[must_use]
    pub fn to_text(&self, width: u16, coloured: bool) -> String {
        let area = Rect::new(0, 0, width, self.height(width));
        let mut buffer = Buffer::empty(area);
        self.render(area, &mut buffer);
        buffer_text(&buffer, coloured)
    }
}

impl Widget for &Page {
    fn render(self, area: Rect, buffer: &mut Buffer) {
        let [summary, cells, wires, alarms, footer] = self.heights(area.width);
        let zones: [Rect; 5] = Layout::vertical([
            Constraint::Length(summary),
            Constraint::Length(cells),
            Constraint::Length(wires),
            Constraint::Min(alarms.min(3)),
            Constraint::Length(footer),
        ])
        .areas(area);
        let [summary, cells, wires, alarms, footer] = zones;
        self.render_summary(summary, buffer);
        self.render_cells(cells, buffer);
        self.render_wires(wires, buffer);
        self.render_alarms(alarms, buffer);
        let lines: Vec<Line<'_>> = self.footer.iter().map(|line| Line::styled(line.as_str(), LABEL)).collect();
        Paragraph::new(lines).wrap(Wrap { trim: false }).render(footer, buffer);
    }
}

impl Page {
    fn render_summary(&self, area: Rect, buffer: &mut Buffer) {
        let block = Block::bordered().title(Span::styled(format!(" {} ", self.title), Modifier::BOLD));
        let inner = block.inner(area);
        block.render(area, buffer);
        // Down the columns, as the manual lists them.
        let rows = self.summary.len().div_ceil(SUMMARY_COLUMNS);
        for (number, (label, value)) in self.summary.iter().enumerate() {
            let style = match value.as_str() {
                text if text.starts_with("On") => ON,
                text if text.starts_with("Off") => OFF,
                _ => Style::new(),
            };
            let line =
                Line::from(vec![Span::styled(format!("{label:<19}"), LABEL), Span::styled(value.as_str(), style)]);
            put(line, number % rows.max(1), number / rows.max(1), SUMMARY_COLUMNS, inner, buffer);
        }
    }
    fn render_cells(&self, area: Rect, buffer: &mut Buffer) {
        let title = Line::from(vec![
            Span::raw(" Cell voltages: "),
            Span::styled("▲ highest", HIGHEST),
            Span::raw(" "),
            Span::styled("▼ lowest", LOWEST),
            Span::raw(" * balancing "),
        ]);
        let block = Block::bordered().title(title);
        let inner = block.inner(area);
        block.render(area, buffer);
        for (index, cell) in self.cells.iter().enumerate() {
            let (sign, style) = match cell.mark {
                Mark::Highest => ("▲", HIGHEST),
                Mark::Lowest => ("▼", LOWEST),
                Mark::None => (" ", Style::new()),
            };
            // On a terminal that can, the cells that the balancer works on flash, as in the manual.
            let (star, style) =
                if cell.balancing { ("*", style.add_modifier(Modifier::SLOW_BLINK)) } else { (" ", style) };
            let line = Line::from(vec![
                Span::styled(format!("{:02} ", index + 1), LABEL),
                Span::styled(format!("{}{sign}{star}", cell.voltage), style),
            ]);
            put(line, index / CELL_COLUMNS, index % CELL_COLUMNS, CELL_COLUMNS, inner, buffer);
        }
    }
    fn render_wires(&self, area: Rect, buffer: &mut Buffer) {
        let title = Line::from(vec![
            Span::raw(" Sense wire resistances, 0 at B−: "),
            Span::styled("! above the limit, no balancing", FLAGGED),
            Span::raw(" "),
        ]);
        let block = Block::bordered().title(title);
        let inner = block.inner(area);
        block.render(area, buffer);
        for (index, wire) in self.wires.iter().enumerate() {
            let (sign, style) = if wire.flagged { ("!", FLAGGED) } else { ("", Style::new()) };
            let line = Line::from(vec![
                Span::styled(format!("{index:02} "), LABEL),
                Span::styled(format!("{}{sign}", wire.resistance), style),
            ]);
            put(line, index / CELL_COLUMNS, index % CELL_COLUMNS, CELL_COLUMNS, inner, buffer);
        }
    }
    fn render_alarms(&self, area: Rect, buffer: &mut Buffer) {
        let block = Block::bordered().title(" Alarms ");
        let lines: Vec<Line<'_>> = if self.alarms.is_empty() {
            vec![Line::styled("none", ON)]
        } else {
            let style = |warning| if warning { FLAGGED } else { OFF };
            self.alarms.iter().map(|alarm| Line::styled(alarm.text.as_str(), style(alarm.warning))).collect()
        };
        Paragraph::new(lines).block(block).wrap(Wrap { trim: true }).render(area, buffer);
    }
}

/// Draws a line at a place of a grid.
fn put(line: Line<'_>, row: usize, column: usize, columns: usize, area: Rect, buffer: &mut Buffer) {
    let width = area.width / u16::try_from(columns).unwrap_or(1).max(1);
    let (Ok(row), Ok(column)) = (u16::try_from(row), u16::try_from(column)) else { return };
    if row < area.height {
        let x = area.x + column * width;
        buffer.set_line(x, area.y + row, &line, width);
    }
}

/// What a buffer shows, line by line; trailing blanks are dropped.
#[must_use]
pub fn buffer_text(buffer: &Buffer, coloured: bool) -> String {
    let mut text = String::new();
    for y in buffer.area.top()..buffer.area.bottom() {
        let mut line = String::new();
        let mut shown = Style::new();
        for x in buffer.area.left()..buffer.area.right() {
            let Some(cell) = buffer.cell((x, y)) else { continue };
            let style = Style::new().fg(cell.fg).add_modifier(cell.modifier);
            if coloured && style != shown {
                line.push_str(&escape(cell.fg, cell.modifier));
                shown = style;
            }
            line.push_str(cell.symbol());
        }
        text.push_str(line.trim_end());
        if coloured {
            text.push_str("\x1b[0m");
        }
        text.push('\n');
    }
    text
}

/// The terminal's code of the few styles that are used here.
fn escape(colour: Color, modifier: Modifier) -> String {
    let bold = if modifier.contains(Modifier::BOLD) { ";1" } else { "" };
    let code = match colour {
        Color::Gray => ";37",
        Color::Yellow => ";33",
        Color::LightBlue => ";94",
        Color::LightRed => ";91",
        Color::LightGreen => ";92",
        _ => "",
    };
    format!("\x1b[0{bold}{code}m")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_three_zones_are_there_with_their_marks() {
        let page = Page {
            title: "16 x LiFePO4".to_owned(),
            summary: vec![
                ("Charge", "On".to_owned()),
                ("Discharge", "Off".to_owned()),
                ("Voltage", "52.80 V".to_owned()),
            ],
            cells: vec![
                Cell { voltage: "3.301 V".to_owned(), mark: Mark::Highest, balancing: true },
                Cell { voltage: "3.298 V".to_owned(), mark: Mark::Lowest, balancing: false },
            ],
            wires: vec![Wire { resistance: "0.012 Ω".to_owned(), flagged: true }],
            alarms: Vec::new(),
            footer: vec!["q quit".to_owned()],
        };
        let text = page.to_text(100, false);
        for part in ["16 x LiFePO4", "Charge", "Off", "01 3.301 V▲*", "02 3.298 V▼", "00 0.012 Ω!", "none", "q quit"]
        {
            assert!(text.contains(part), "{part} in\n{text}");
        }
        assert!(!text.contains('\x1b'));
        let coloured = page.to_text(100, true);
        assert!(coloured.contains("\x1b[0;1;94m3.301 V▲*") && coloured.contains("\x1b[0;1;91m3.298 V▼"), "{coloured}");
        assert!(coloured.contains("\x1b[0;1;33m0.012 Ω!"));
    }
}
