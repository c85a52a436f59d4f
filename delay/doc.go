// Package delay delivers messages when their time has come: RocketMQ's delay levels, which its retries use too. Scheduler is the type to begin with.
//
// A delayed message lies in the topic SCHEDULE_TOPIC_XXXX, in the queue of its level (queue 0 for level 1), with its real topic and
// queue among its properties. All messages of a level wait equally long, so a level's queue is in the order of the times at which they are due, and only
// the first needs to be looked at. When it is due it is appended to its real topic, with acks=all; how far each level is delivered is then noted, in the
// journal of groups, as if a group of consumers had read the topic. Topic, properties and group are RocketMQ's, and so are the files.
//
// What is promised:
//
//   - Never early: a message is delivered when the broker's clock has gone on by the level's delay since the message was stored, not before. If the clock
//     went back meanwhile it waits no longer than the level's delay from when that was seen.
//   - Never lost: what is delivered is durable before that is noted. A crash may deliver again what was not noted yet.
//   - A level that cannot go on (a full disk) is tried again, without end, and keeps no other from going on.
//   - A message that cannot be delivered as things are, for its topic is gone, does not keep those behind it: it is put off, which is another round
//     through the topic, up to Options.GiveUp after it was first due.
//
// Step is all there is to decide: it does what is due at a time, never waits, and says when it wants to be called next. Run calls it, in one goroutine
// for all levels, woken by appends, by outcomes and by time; while nothing is due it sleeps.
package delay
