/* lab_again.h: lets lab/refcount.h be included once more, as another variant. No include guard.
 *
 * The includer defines OT_LAB_VARIANT and V(name), the variant's prefix; the header's functions then
 * have that prefix. */
#ifndef V /* the file alone, as cppcheck reads it */
#define V(name) alone_##name
#endif
#undef OT_REFCOUNT_H
#undef OT_LAB_COUNTS
#undef OT_LAB_2006
#undef OT_LAB_IMMORTAL
#undef OT_LAB_SKIPS
#undef OT_LAB_GIVE
#undef OT_LAB_TAKE
#undef OT_LAB_PAIR
#undef OT_LAB_RECORDS
#undef OT_LAB_RECORD
#undef OT_LAB_IS_IMMORTAL
#undef OT_LAB_DEC_ORDER
#undef OT_ATOMIC_REFCOUNTS
#define ot_refcnt_inc V(inc)
#define ot_refcnt_dec_is_zero V(dec_is_zero)
#define ot_refcnt_add V(add)
#define ot_immortal_inc V(immortal_inc)
#define ot_immortal_dec V(immortal_dec)
#define ot_refcnt_seen V(seen)
#include "lab/refcount.h"
#undef ot_refcnt_inc
#undef ot_refcnt_dec_is_zero
#undef ot_refcnt_add
#undef ot_immortal_inc
#undef ot_immortal_dec
#undef ot_refcnt_seen
#undef OT_LAB_VARIANT
#undef V
