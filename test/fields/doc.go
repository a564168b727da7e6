// Package fields holds the test that no field of an object is read nowhere: each one, set
// alone on a valid object, changes what proxies are served or is told as a finding with
// its path. Fields are found by reflection, so that new ones of a newer API cannot be
// forgotten.
package fields
