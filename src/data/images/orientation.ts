/** @file Pictures that only a tag of EXIF turns, as telephones write them. */
import * as v from 'valibot';

export const orientationSchema = v.picklist(['follow', 'ignore']);

/** `follow` turns pictures as people see them; `ignore` reads them as they are stored, as the reference does. */
export type Orientation = v.InferOutput<typeof orientationSchema>;
