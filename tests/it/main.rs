mod tidy;

fn main() {}
