//! Schedules against a slow, obvious model and against croner; the planner against itself under a clock that jumps.
#[cfg(test)]
mod calendar;
#[cfg(test)]
mod changes;
#[cfg(test)]
mod croner;
#[cfg(test)]
mod events;
#[cfg(test)]
mod model;
#[cfg(test)]
mod planner;
#[cfg(test)]
mod texts;
