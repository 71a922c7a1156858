// SPDX-License-Identifier: MIT
//! The layout of src/abi.rs, a line for each structure, field and constant; for check.sh.
#[allow(dead_code)]
#[path = "src/abi.rs"]
mod abi;

fn main() {
    abi::layout(|structure, field, number| match field {
        "" => println!("size {structure} {number}"),
        _ => println!("offset {structure} {field} {number}"),
    });
    abi::values(|name, value| println!("value {name} {value}"));
    println!("text DSB_LABEL_OWNER {}", abi::DSB_LABEL_OWNER);
    println!("text DSB_LABEL_SESSION {}", abi::DSB_LABEL_SESSION);
    println!("text DSB_LABEL_DEADLINE {}", abi::DSB_LABEL_DEADLINE);
    println!("value DSB_CONTROLS_CORE {}", abi::CORE);
}
