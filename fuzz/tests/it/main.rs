//! The fuzz targets with the stable compiler.
#[cfg(test)]
mod corpus;
#[cfg(test)]
mod mutate;
