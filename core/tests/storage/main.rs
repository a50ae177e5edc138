//! What the storage layer promises, seen from outside: disks that upstream wrote, disks that lost
//! power, disks full of rubbish.

mod arbitrary;
mod audit;
mod crash;
mod damage;
mod model_disk;
mod samples;
