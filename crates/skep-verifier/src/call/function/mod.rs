//! Functions of the program: static ones are followed, global ones are taken at their types' word;
//! callbacks; and what must be true at `exit`.

mod call;
mod entry;
mod exit;
