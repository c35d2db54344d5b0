// Package config turns the YAML file that the user writes into a [Config]: what
// the daemon itself needs, and the balancer's [balancer.Spec].
//
// The file is read strictly. Unknown keys, wrong types, values out of range and
// features that this version does not have are all errors, and all of them are
// reported at once, each with its line, its path in the file and what would be
// right. [Parse] touches nothing but its arguments.
//
// A reload reads the file anew and can apply a part of it; what differs, and what of that
// it cannot apply, is for [Config.Changes] to name.
//
// There are two classes of error, because they end the process differently:
//
//   - [Problems]: the file was parsed, and what it says is wrong (exit code 2);
//   - everything else, a [SyntaxError] among it: the file cannot be read or is
//     not YAML (exit code 1).
//
// No type of this package goes into the datapath: the engine is configured with
// its own types, which cmd fills in from here.
package config
