//! The wire contracts: committed tonic and prost output of proto/.
