pub struct Declaration;
