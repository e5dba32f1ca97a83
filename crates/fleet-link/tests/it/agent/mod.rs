//! An agent of a product that is none of ours: what is every agent's goes by the product's own names.
mod daemon;
mod member;
mod orders;
mod product;
mod state;
