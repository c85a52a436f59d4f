// Package doctor looks for what keeps clients from a cluster, and for what makes a broker slow or unsafe on its machine.
// Commands is what the program mounts.
//
// A check measures something and hands it to a judgement, a function of its inputs that makes a Finding: what is, why it
// matters, what to do. Every wait has a limit; what cannot be measured is a finding too, and never ends the others.
package doctor
