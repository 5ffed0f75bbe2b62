// What pages do beyond HTML: a PIN's countdown, local times, fresh lists. Every page works without it.
// Not for anything that a form could do.
"use strict";
